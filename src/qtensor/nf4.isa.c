/* Weights as numbers of the levels of NF4 and float activations. */
#include "qtensor/formats_table.h"
#include "qtensor/integer_matmul.isa.h"

INTEGER_MATMUL(nf4, BOOK_NF4)
