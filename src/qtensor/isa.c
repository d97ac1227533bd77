/* The instruction sets, their detection and the choice of one. */
#include "qtensor/isa.h"
#include "kernels/kernels_table.h"
#include "qtensor/formats_table.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool always(void) { return true; }

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* __builtin_cpu_supports asks the operating system about the registers, too. Some compilers' version does
 * not know F16C. */
static bool has_avx2(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
/* VPDPBUSD for AVX2's registers. Some compilers' __builtin_cpu_supports does not know it. */
static bool has_avxvnni(void)
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}
static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
static bool has_avx512vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

/* The tiles and their int8 products. Linux saves tiles only for processes that asked for them. */
static bool has_amx(void)
{
#if defined(__linux__)
    enum { REQUEST_STATE = 0x1023, TILE_DATA = 18, TILE_STATES = 3 << 17, AMX_TILE_AND_INT8 = 3 << 24 };
    unsigned a, b, c, d, saved, high;
    if (!has_avx512vnni() || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    if ((d & AMX_TILE_AND_INT8) != AMX_TILE_AND_INT8) return false;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    return (saved & TILE_STATES) == TILE_STATES && syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
#else
    return false;
#endif
}
#endif

static const struct isa rows[] = {
    {"scalar", always, &kernels_table_scalar, formats_table_scalar, &pack_ops_scalar},
#if defined(__x86_64__)
    {"avx2", has_avx2, &kernels_table_avx2, formats_table_avx2, &pack_ops_avx2},
    {"avxvnni", has_avxvnni, &kernels_table_avx2, formats_table_avxvnni, &pack_ops_avx2},
    {"avx512", has_avx512, &kernels_table_avx512, formats_table_avx512, &pack_ops_avx512},
    {"avx512vnni", has_avx512vnni, &kernels_table_avx512, formats_table_avx512vnni, &pack_ops_avx512},
    {"amx", has_amx, &kernels_table_avx512, formats_table_amx, &pack_ops_avx512},
#endif
};
#define ROWS (sizeof rows / sizeof *rows)

size_t isa_count(void) { return ROWS; }
const struct isa *isa_at(size_t i) { return i < ROWS ? &rows[i] : NULL; }

static gpt2q_status unknown_isa(const char *name, gpt2q_error *err)
{
    char names[96] = "";
    for (size_t i = 0, used = 0; i < ROWS; i++)
        if (rows[i].supported() && used < sizeof names)
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", rows[i].name);
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "instruction set \"%s\" is not available here; this machine has %s", name, names);
}

gpt2q_status isa_choose(const char *name, const struct isa **out, gpt2q_error *err)
{
    *out = NULL;
    if (!name || !*name) name = getenv("GPT2Q_ISA");
    for (size_t i = ROWS; i-- > 0;)
        if (rows[i].supported() && (!name || !*name || strcmp(name, rows[i].name) == 0)) {
            *out = &rows[i];
            return GPT2Q_OK;
        }
    return unknown_isa(name, err);
}
