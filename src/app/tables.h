/* Numbers and pictures in tables for people. */
#ifndef APP_TABLES_H
#define APP_TABLES_H
#include <stddef.h>
#include <stdint.h>

#define COUNT_TEXT 32
/* "497,759,232"; returns text. */
const char *print_count(uint64_t n, char text[COUNT_TEXT]);
#endif
