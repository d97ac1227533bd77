/* Weights as 3-bit codes and float activations. */
#include "qtensor/formats_table.h"
#include "qtensor/integer_matmul.isa.h"

INTEGER_MATMUL(i3, 3)
