/* Every scheme that the table of formats has, for tests that try them all. */
#ifndef TESTS_SCHEMES_H
#define TESTS_SCHEMES_H
#include <stddef.h>

/* Each format alone; those with codes in every granularity, with groups from 8 to 544 inputs, and in every grid that it takes;
 * notes. The list lives as long as the program. A group of g need not divide a test's inputs. */
const char *const *every_scheme(size_t *n);
#endif
