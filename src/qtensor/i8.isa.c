/* Weights as int8 codes and float activations. */
#include "qtensor/formats_table.h"
#include "qtensor/integer_matmul.isa.h"

INTEGER_MATMUL(i8, 8)
