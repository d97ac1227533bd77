/* Pairwise testing: few settings of several factors, in which every pair of values of any two factors
 * occurs. */
#ifndef TESTS_COVERING_H
#define TESTS_COVERING_H
#include "tests/support.h"

#define MAX_FACTORS 8
#define MAX_VALUES  8

struct covering {
    int n_factors, n_values[MAX_FACTORS];
    bool met[MAX_FACTORS][MAX_VALUES][MAX_FACTORS][MAX_VALUES];
};

/* The next setting: a value (from 0) for each factor. False when every pair has occurred. */
bool covering_next(struct covering *c, struct rng *rng, int values[MAX_FACTORS]);
#endif
