/* SPECs in text: parsing, the full form, and the nearest right one for a wrong one.
 *
 *     SPEC = f32 | f16 | bf16 | i8[:GRAN][:METHOD] | i4[:GRAN][:METHOD] | notes
 *
 * Refused: anything else, groups that are not a multiple of 8 (a step of the int4 layout), and details on a
 * format that has none. */
#include "qtensor/qtensor.h"
#include <stdio.h>
#include <string.h>

#define GROUP_MAX (1 << 20)
#define SPEC_MAX  48 /* longer texts are compared by their beginning */

static const char *const format_names[QF_COUNT] = {"f32", "f16", "bf16", "i8", "i4"};
static const char *const gran_names[] = {"tensor", "channel", "input"};
static const char *const method_names[QM_COUNT] = {"absmax", "minmax", "affine", "notes"};

const char *scheme_print(struct scheme s, char text[SCHEME_TEXT_MAX])
{
    char group[16] = "";
    if (!scheme_is_integer(s) || s.method == QM_NOTES) {
        snprintf(text, SCHEME_TEXT_MAX, "%s", scheme_is_integer(s) ? "notes" : format_names[s.format]);
        return text;
    }
    if (s.gran == QG_GROUP) snprintf(group, sizeof group, "g%d", s.group);
    snprintf(text, SCHEME_TEXT_MAX, "%s:%s:%s", format_names[s.format],
             s.gran == QG_GROUP ? group : gran_names[s.gran], method_names[s.method]);
    return text;
}

/* ---- the nearest SPEC ---- */

static int min_int(int a, int b) { return a < b ? a : b; }

/* Levenshtein's distance; both shorter than SPEC_MAX. */
static int edit_distance(const char *a, const char *b)
{
    int row[SPEC_MAX + 1];
    int n = (int)strlen(b);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int substituted = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = min_int(substituted, 1 + min_int(row[j], row[j - 1]));
        }
    }
    return row[n];
}

struct nearest {
    const char *wanted;
    char text[SPEC_MAX + 1];
    int distance;
};

static void nearest_try(struct nearest *best, const char *candidate)
{
    int distance = edit_distance(best->wanted, candidate);
    if (distance >= best->distance) return;
    best->distance = distance;
    snprintf(best->text, sizeof best->text, "%s", candidate);
}

/* Tries every SPEC, short forms first, so that a tie suggests the shorter one. */
static void nearest_spec(const char *wanted, struct nearest *best)
{
    static const char *const bases[] = {"f32", "f16", "bf16", "i8", "i4", "notes"};
    static const char *const grans[] = {"", ":tensor", ":channel", ":input", ":g16", ":g32", ":g64", ":g128"};
    static const char *const methods[] = {"", ":absmax", ":minmax", ":affine"};
    char cut[SPEC_MAX + 1], candidate[SPEC_MAX + 1];
    snprintf(cut, sizeof cut, "%.*s", SPEC_MAX, wanted);
    best->wanted = cut;
    best->distance = SPEC_MAX + 1;
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++) nearest_try(best, bases[b]);
    for (size_t b = 0; b < 2; b++)
        for (size_t g = 0; g < sizeof grans / sizeof *grans; g++)
            for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
                snprintf(candidate, sizeof candidate, "%s%s%s", format_names[QF_I8 + b], grans[g],
                         methods[m]);
                nearest_try(best, candidate);
            }
}

static gpt2q_status unknown_scheme(const char *spec, gpt2q_error *err)
{
    struct nearest best;
    nearest_spec(spec, &best);
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "unknown scheme \"%s\"; did you mean \"%s\"?", spec,
                     best.text);
}

/* ---- parsing ---- */

/* Whether the field at *at is `name`; if so *at moves behind it and its colon. */
static bool take(const char **at, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(*at, name, n) != 0 || ((*at)[n] != ':' && (*at)[n] != '\0')) return false;
    if ((*at)[n] == ':' && (*at)[n + 1] == '\0') return false; /* nothing after the colon */
    *at += n + ((*at)[n] == ':');
    return true;
}

/* gN: the number, 0 where the field is no group, -1 where N is out of the question. */
static int take_group(const char **at)
{
    const char *p = *at;
    int n = 0;
    if (*p++ != 'g' || *p < '0' || *p > '9') return 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if ((n = n * 10 + (*p - '0')) > GROUP_MAX) return -1;
    if ((*p != ':' && *p != '\0') || (*p == ':' && p[1] == '\0')) return 0;
    *at = p + (*p == ':');
    return n > 0 && n % 8 == 0 ? n : -1;
}

gpt2q_status scheme_parse(const char *spec, struct scheme *out, gpt2q_error *err)
{
    const char *at = spec;
    struct scheme s = {.gran = QG_CHANNEL, .method = QM_ABSMAX};
    if (strcmp(spec, "notes") == 0) {
        *out = (struct scheme){.format = QF_I8, .gran = QG_TENSOR, .method = QM_NOTES};
        return GPT2Q_OK;
    }
    int format = 0;
    while (format < QF_COUNT && !take(&at, format_names[format])) format++;
    if (format == QF_COUNT) return unknown_scheme(spec, err);
    s.format = (enum qformat)format;
    if (scheme_is_integer(s)) {
        int gran = 0, group = take_group(&at);
        if (group < 0)
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "scheme \"%s\": a group is a multiple of 8 inputs, such as g32", spec);
        if (s.format == QF_I4 && !group) s.gran = QG_GROUP, s.group = 32;
        if (group) s.gran = QG_GROUP, s.group = group;
        while (!group && gran < QG_GROUP && !take(&at, gran_names[gran])) gran++;
        if (!group && gran < QG_GROUP) s.gran = (enum qgran)gran, s.group = 0;
        int method = 0;
        while (method < QM_NOTES && !take(&at, method_names[method])) method++;
        if (method < QM_NOTES) s.method = (enum qmethod)method;
    }
    if (*at) return unknown_scheme(spec, err);
    *out = s;
    return GPT2Q_OK;
}
