/* Every scheme that the table of formats has, for tests that try them all. */
#ifndef TESTS_SCHEMES_H
#define TESTS_SCHEMES_H
#include <stddef.h>

/* Each format alone; formats with codes in every granularity (groups from 8 to 544
 * inputs, with scales in float16 and in float32) and every grid; notes. The list lives as long as the program. A group need not divide a test's
 * inputs. */
const char *const *every_scheme(size_t *n);
#endif
