/* Weights as int4 codes and integer activations. */
#include "qtensor/dot_matmul.isa.h"

DOT_MATMUL(i4, 4)
