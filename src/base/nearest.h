/* How far a misspelt word is from a right one, and which of many is the one that was meant. */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H
#include <stddef.h>

#define NEAREST_WORD_MAX 64 /* bytes of a word that are looked at */

/* Edits from one word to the other: insert, delete, replace, or swap two neighbours (optimal string
 * alignment). Of longer words the first NEAREST_WORD_MAX bytes count. */
size_t edit_distance(const char *a, const char *b);

/* Of n names the one that `word` means: the shortest that begins with it, else the one with the fewest edits,
 * at most a third of its length. NULL where none is near. */
const char *nearest_name(const char *word, const char *const *names, size_t n);
#endif
