/* Weights as 3-bit codes and integer activations. */
#include "qtensor/dot_matmul.isa.h"

DOT_MATMUL(i3, 3)
