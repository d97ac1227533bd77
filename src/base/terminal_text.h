/* Text from outside (names in files, arguments, prompts) as a terminal may show it. */
#ifndef BASE_TERMINAL_TEXT_H
#define BASE_TERMINAL_TEXT_H
#include <stddef.h>

/* Writes the n bytes at s to `to`, of `capacity` >= 1 bytes, zero-terminated, and returns the length. Control
 * characters (C0, DEL, C1) become \n, \t, \r or \xHH; each maximal broken subpart of UTF-8 becomes one
 * U+FFFD. What does not fit is left out, never a part of a character. Allocates nothing; async-signal-safe.
 * Four times n bytes and one hold any text. */
size_t terminal_text(char *to, size_t capacity, const char *s, size_t n);
#endif
