/* Numbers and pictures in tables for people. */
#ifndef APP_TABLES_H
#define APP_TABLES_H
#include <stddef.h>
#include <stdint.h>

/* A name from outside (of a tensor, a file, a scheme) as a table or a line may show it: control characters escaped, broken UTF-8 as U+FFFD,
 * cut where it is longer. Returns text. */
#define SAFE_NAME 4200
const char *safe_name(const char *name, char text[SAFE_NAME]);

#define COUNT_TEXT 32
/* "497,759,232"; returns text. */
const char *print_count(uint64_t n, char text[COUNT_TEXT]);

/* A figure and its standard error, rounded to the same place, two digits of the error: "0.1200 +- 0.0020",
 * below 0.001 "(2.10 +- 0.13)e-04". `between` replaces " +- ". Without a finite error above 0 it is the
 * figure alone, in four digits. Returns text. */
#define ERROR_TEXT 64
const char *print_with_error(double value, double error, const char *between, char text[ERROR_TEXT]);
#endif
