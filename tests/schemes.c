#include "tests/schemes.h"
#include "qtensor/qtensor.h"
#include <stdio.h>

enum { MOST = 1024 };
static char texts[MOST][SCHEME_TEXT_MAX];
static const char *list[MOST];
static size_t count;

static void add(struct scheme s)
{
    char text[SCHEME_TEXT_MAX];
    struct scheme again;
    scheme_print(s, text);
    if (count == MOST || scheme_parse(text, &again, NULL)) return; /* a combination that the format refuses */
    snprintf(texts[count], sizeof texts[count], "%s", text);
    list[count] = texts[count];
    count++;
}

/* Formats with codes: every grid or, of levels, the one that they have, in every granularity. */
static void add_codes(enum qformat format)
{
    static const int small_steps[] = {8, 24, 32, 64, 136, 264, 520},
                     large_steps[] = {16, 32, 96, 272, 352, 544};
    const bool small = scheme_group_unit(format) == 8;
    const int *groups = small ? small_steps : large_steps;
    const size_t n_groups = small ? sizeof small_steps / sizeof *groups : sizeof large_steps / sizeof *groups;
    const bool levels = format_facts[format].has_levels;
    for (int grid = levels ? QGRID_LEVELS : 0; grid < (levels ? QGRID_COUNT : QGRID_NOTES); grid++) {
        if (levels)
            add((struct scheme){.format = format,
                                .gran = format_facts[format].gran,
                                .grid = (enum qgrid)grid,
                                .group = format_facts[format].group});
        for (int gran = 0; gran < QG_GROUP && !levels; gran++)
            add((struct scheme){.format = format, .gran = (enum qgran)gran, .grid = (enum qgrid)grid});
        for (size_t g = 0; g < 2 * n_groups && scheme_takes_group(format); g++) {
            const struct scheme s = {.format = format,
                                     .gran = QG_GROUP,
                                     .grid = (enum qgrid)grid,
                                     .group = groups[g / 2],
                                     .full = g % 2};
            if (!s.full || !levels) add(s);
        }
    }
}

const char *const *every_scheme(size_t *n)
{
    if (!count) {
        for (int f = 0; f < QF_COUNT; f++) {
            if (format_facts[f].has_codes)
                add_codes((enum qformat)f);
            else
                add((struct scheme){.format = (enum qformat)f});
        }
        add((struct scheme){.format = QF_I8, .gran = QG_TENSOR, .grid = QGRID_NOTES});
    }
    *n = count;
    return list;
}
