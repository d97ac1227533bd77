/* What the instruction sets do not say of a processor's cores. It decides which of two ways of the same bits is taken. */
#ifndef KERNELS_CORE_H
#define KERNELS_CORE_H
#include <stdbool.h>

/* Whether additions of vectors cost nothing beside multiplications, with AVX-512: of four vector instructions that AMD's cores (Zen 4 and
 * later) make in a cycle two multiply. Intel's make two in all. */
bool core_adds_for_free(void);
#endif
