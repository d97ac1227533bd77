/* Where figures come from: the machine, the command line, the day. */
#ifndef APP_PROVENANCE_H
#define APP_PROVENANCE_H
#include <stddef.h>

/* main's own arguments, before anything changes their order; out of memory: none are kept. */
void keep_command_line(int argc, char **argv);
/* "gpt2q compare --schemes 'f32,i8' 'Once upon'", quoted for a shell; "" where it was not kept. */
const char *command_line(void);

/* "Intel(R) Xeon(R) ..", "unknown" where the system does not say. */
void read_cpu_name(char *name, size_t size);
/* "2026-11-28 07:30 UTC". */
void print_date(char *text, size_t size);
#endif
