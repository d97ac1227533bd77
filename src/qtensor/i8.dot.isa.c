/* Weights as int8 codes and integer activations. */
#include "qtensor/dot_matmul.isa.h"

DOT_MATMUL(i8, 8)
