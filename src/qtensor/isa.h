/* Instruction sets, one row each. One is chosen when the library is loaded. */
#ifndef QTENSOR_ISA_H
#define QTENSOR_ISA_H
#include "base/status.h"
#include "kernels/kernels.h"
#include "qtensor/format.h"
#include "qtensor/pack.h"

struct isa {
    const char *name;        /* "scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "amx" */
    bool (*supported)(void); /* this CPU and its operating system can run it */
    const struct kernels *kernels;
    const struct format_ops *formats; /* [QF_COUNT] */
    const struct pack_ops *pack;      /* of the quantizer */
};

/* Rows from the definition (scalar, index 0) to the best. All compiled rows are there, whether or not this
 * CPU supports them. */
size_t isa_count(void);
const struct isa *isa_at(size_t i);
/* Chooses a row. NULL or "" is $GPT2Q_ISA if that is set and not empty, else the best supported one. A
 * name that is unknown, or that this CPU lacks, is an error that lists the names it has. */
gpt2q_status isa_choose(const char *name, const struct isa **out, gpt2q_error *err);
#endif
