/* Where figures come from: the machine, the command line, the day. */
#ifndef APP_PROVENANCE_H
#define APP_PROVENANCE_H
#include <stddef.h>

/* Keeps main's arguments, before anything changes their order. If memory is out, none are kept. */
void keep_command_line(int argc, char **argv);
/* The command line quoted for a shell: "gpt2q compare --schemes 'f32,i8' 'Once upon'"; "" if it was not
 * kept. */
const char *command_line(void);

/* The processor: "Intel(R) Xeon(R) .."; "unknown" if the system does not say. */
void read_cpu_name(char *name, size_t size);
/* "2026-11-28 07:30 UTC". */
void print_date(char *text, size_t size);
#endif
