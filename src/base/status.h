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
/* Text of a file or a request for a message: its first 60 bytes, cut at a code point, and "..." if there are
 * more, so that the rest of the sentence has room. It lasts until the end of the statement:
 * error_set(err, ..., error_quote(text, n).text). */
struct error_quote {
    char text[64];
};
struct error_quote error_quote(const char *text, size_t n);
#endif
