/* Status and error: one sentence for people, one code for programs. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H
#include "gpt2q.h"

/* Fills *err (may be NULL) and returns status: `return error_set(err, GPT2Q_FORMAT, "%s: ...", path, ...)`.
 * Sentences name the file, the field, what was found and what was expected; a message too long for the buffer
 * ends in "...". */
__attribute__((format(printf, 3, 4))) gpt2q_status error_set(gpt2q_error *err, gpt2q_status status,
                                                             const char *format, ...);
/* The one for failed allocations: "out of memory: <what> needs <bytes> bytes". */
gpt2q_status error_memory(gpt2q_error *err, const char *what, size_t bytes);
#endif
