/* GPT-2's pattern as a scanner:
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * The pattern looks only ahead, so a piece does not depend on what comes before it. Pieces cover the text.
 * A byte that is not part of a well-formed code point counts as one character that is neither space,
 * letter nor number. */
#ifndef TOKENIZER_PRETOKENIZER_H
#define TOKENIZER_PRETOKENIZER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum char_class { CLASS_OTHER, CLASS_LETTER, CLASS_NUMBER, CLASS_SPACE };

/* \p{L}, \p{N} and \s by utf8proc's Unicode version (15 in its version 2.8). */
enum char_class pretokenizer_class(uint32_t code_point);

/* Whether it is \w of Rust's regex library: Alphabetic, M, Nd, Pc, Join_Control. */
bool pretokenizer_is_word(uint32_t code_point);

/* The length of the first piece of the n >= 1 bytes of text. */
size_t pretokenizer_next(const char *text, size_t n);
#endif
