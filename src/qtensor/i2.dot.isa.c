/* Weights as 2-bit codes and integer activations. */
#include "qtensor/dot_matmul.isa.h"

DOT_MATMUL(i2, 2)
