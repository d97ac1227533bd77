/* Weights as numbers of the levels of NF4 and integer activations. */
#include "qtensor/dot_matmul.isa.h"

DOT_MATMUL(nf4, BOOK_NF4)
