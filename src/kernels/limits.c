#include "kernels/limits.h"
#include "kernels/limits_table.h"
#include <string.h>

const struct limits *limits_find(const char *isa)
{
    static const struct {
        const char *name;
        const struct limits *limits;
    } tables[] = {
        {"scalar", &limits_table_scalar},
#if defined(__x86_64__)
        {"avx2", &limits_table_avx2},
        {"avxvnni", &limits_table_avxvnni},
        {"avx512", &limits_table_avx512},
        {"avx512vnni", &limits_table_avx512vnni},
        {"amx", &limits_table_amx},
#endif
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (!strcmp(tables[i].name, isa)) return tables[i].limits;
    return NULL;
}
