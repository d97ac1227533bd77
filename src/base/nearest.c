#include "base/nearest.h"
#include <string.h>

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t edit_distance(const char *a, const char *b)
{
    size_t n = strnlen(a, NEAREST_WORD_MAX), m = strnlen(b, NEAREST_WORD_MAX);
    size_t rows[3][NEAREST_WORD_MAX + 1]; /* the last three rows of the table */
    for (size_t i = 0; i <= n; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        for (size_t j = 0; j <= m; j++) {
            if (!i || !j) {
                row[j] = i + j;
                continue;
            }
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

static const char *shortest_beginning_with(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t length = strlen(word);
    for (size_t i = 0; length > 1 && i < n; i++)
        if (!strncmp(names[i], word, length) && (!best || strlen(names[i]) < strlen(best))) best = names[i];
    return best;
}

const char *nearest_name(const char *word, const char *const *names, size_t n)
{
    const char *best = shortest_beginning_with(word, names, n);
    if (best) return best;
    size_t length = strlen(word), fewest = (length < 3 ? 1 : length / 3) + 1;
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(word, names[i]);
        if (distance < fewest && distance < strlen(names[i])) fewest = distance, best = names[i];
    }
    return best;
}
