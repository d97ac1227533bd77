/* The names of a register tile's sums: six rows by two vectors of outputs, for group_sums.dot.isa.c and pair_sums.dot.isa.c. */
#ifndef QTENSOR_SIX_ROWS_H
#define QTENSOR_SIX_ROWS_H
/* Sums are named variables: arrays of vectors that inline assembly changes stay in memory with gcc 12. */
#define EACH_ROW(DO)       DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define EACH_VECTOR(DO, r) DO(r, 0) DO(r, 1)
#define EACH_SUM(DO)                                                                                         \
    EACH_VECTOR(DO, 0)                                                                                       \
    EACH_VECTOR(DO, 1) EACH_VECTOR(DO, 2) EACH_VECTOR(DO, 3) EACH_VECTOR(DO, 4) EACH_VECTOR(DO, 5)
#endif
