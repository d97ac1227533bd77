/* Weights as int4 codes and float activations. */
#include "qtensor/formats_table.h"
#include "qtensor/integer_matmul.isa.h"

INTEGER_MATMUL(i4, 4)
