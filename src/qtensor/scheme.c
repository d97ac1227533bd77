/* SPECs in text: parsing, the full form, and the nearest right one for a wrong one.
 *
 *     SPEC = FLOAT | CODES[:GRAN][:GRID] | CODES:gN[:GRID]:f32 | LEVELS[:gN] | notes      with the names of formats.h
 *
 * Refused: anything else, groups that are not a multiple of 8 and of a step of the layout, absmax below 4 bits, and
 * details on a format that has none. */
#include "qtensor/qtensor.h"
#include "base/nearest.h"
#include <stdio.h>
#include <string.h>

#define GROUP_MAX (1 << 20)
#define SPEC_MAX  48 /* longer texts are compared by their beginning */

#define CODES_FLOATS false
#define CODES_CODES  true
#define CODES_LEVELS true
#define CODES_FLOAT8 true
#define CODES_OWN    true
#define HAS_FLOATS   false
#define HAS_CODES    false
#define HAS_LEVELS   true
#define HAS_FLOAT8   true
#define HAS_OWN      false
#define TAKES_FLOATS false
#define TAKES_CODES  true
#define TAKES_LEVELS true
#define TAKES_FLOAT8 false
#define TAKES_OWN    false
#define OWN_FLOATS   false
#define OWN_CODES    false
#define OWN_LEVELS   false
#define OWN_FLOAT8   false
#define OWN_OWN      true
#define FORMAT_FACTS(format, name, kind, bits, inputs, bytes, dtype, gran, group, spec)                      \
    [format] = {spec,       dtype,        bits,       inputs, bytes, CODES_##kind,                           \
                HAS_##kind, TAKES_##kind, OWN_##kind, gran,   group},
const struct format_facts format_facts[QF_COUNT] = {QFORMATS(FORMAT_FACTS)};
const char *const gran_names[QG_GROUP] = {"tensor", "channel", "input"};
const char *const grid_names[QGRID_COUNT] = {"absmax", "signed", "minmax", "affine", "notes", "levels"};

const char *scheme_print(struct scheme s, char text[SCHEME_TEXT_MAX])
{
    char group[16] = "";
    if (!scheme_has_codes(s) || scheme_is_notes(s)) {
        snprintf(text, SCHEME_TEXT_MAX, "%s", scheme_has_codes(s) ? "notes" : format_facts[s.format].name);
        return text;
    }
    if (s.gran == QG_GROUP) snprintf(group, sizeof group, "g%d", s.group);
    if (!scheme_has_grid(s)) {
        snprintf(text, SCHEME_TEXT_MAX, "%s%s%s", format_facts[s.format].name,
                 scheme_takes_group(s.format) ? ":" : "", scheme_takes_group(s.format) ? group : "");
        return text;
    }
    snprintf(text, SCHEME_TEXT_MAX, "%s:%s:%s%s", format_facts[s.format].name,
             s.gran == QG_GROUP ? group : gran_names[s.gran], grid_names[s.grid],
             s.gran == QG_GROUP && s.full ? ":f32" : "");
    return text;
}

const char *scheme_help(char text[SCHEME_HELP_MAX])
{
    size_t used = 0;
    for (int f = 0; f < QF_COUNT && used < SCHEME_HELP_MAX; f++)
        used += (size_t)snprintf(text + used, SCHEME_HELP_MAX - used, "%s%s%s", f ? ", " : "",
                                 format_facts[f].name,
                                 !format_facts[f].has_codes            ? ""
                                 : !format_facts[f].has_levels         ? "[:GRAN][:GRID]"
                                 : scheme_takes_group((enum qformat)f) ? "[:gN]"
                                                                       : "");
    if (used < SCHEME_HELP_MAX) snprintf(text + used, SCHEME_HELP_MAX - used, " or notes");
    return text;
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
static int take_group(const char **at, int unit)
{
    const char *p = *at;
    int n = 0;
    if (*p++ != 'g' || *p < '0' || *p > '9') return 0;
    for (; *p >= '0' && *p <= '9'; p++)
        if ((n = n * 10 + (*p - '0')) > GROUP_MAX) return -1;
    if ((*p != ':' && *p != '\0') || (*p == ':' && p[1] == '\0')) return 0;
    *at = p + (*p == ':');
    return n > 0 && n % unit == 0 ? n : -1;
}

/* The fields behind the format's name; *at moves behind what is right. */
static gpt2q_status take_details(const char *spec, const char **at, struct scheme *s, gpt2q_error *err)
{
    const char *name = format_facts[s->format].name;
    const int unit = scheme_group_unit(s->format);
    int gran = 0, grid = 0, group = scheme_takes_group(s->format) ? take_group(at, unit) : 0;
    if (group < 0)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "scheme \"%s\": a group of %s is a multiple of %d inputs, such as g32", spec, name,
                         unit);
    if (group) s->gran = QG_GROUP, s->group = group;
    if (format_facts[s->format].has_levels) {
        s->grid = QGRID_LEVELS;
        return GPT2Q_OK;
    }
    while (!group && gran < QG_GROUP && !take(at, gran_names[gran])) gran++;
    if (!group && gran < QG_GROUP) s->gran = (enum qgran)gran, s->group = 0;
    while (grid < QGRID_NOTES && !take(at, grid_names[grid])) grid++;
    s->grid = grid < QGRID_NOTES             ? (enum qgrid)grid
              : scheme_has_absmax(s->format) ? QGRID_ABSMAX
                                             : QGRID_SIGNED;
    s->full = s->gran == QG_GROUP && take(at, "f32");
    return GPT2Q_OK;
}

/* scheme_parse; of a SPEC that is unknown it sets *unknown and no error. */
static gpt2q_status read_spec(const char *spec, struct scheme *out, bool *unknown, gpt2q_error *err)
{
    const char *at = spec;
    struct scheme s = {.grid = QGRID_ABSMAX};
    if (strcmp(spec, "notes") == 0) {
        *out = (struct scheme){.format = QF_I8, .gran = QG_TENSOR, .grid = QGRID_NOTES};
        return GPT2Q_OK;
    }
    if (strcmp(spec, "fp8") == 0) at = format_facts[QF_E4M3].name;
    int format = 0;
    while (format < QF_COUNT && !take(&at, format_facts[format].name)) format++;
    *unknown = format == QF_COUNT;
    if (*unknown) return GPT2Q_INVALID_ARGUMENT;
    s.format = (enum qformat)format;
    s.gran = format_facts[format].gran;
    s.group = format_facts[format].group;
    gpt2q_status status = scheme_has_codes(s) ? take_details(spec, &at, &s, err) : GPT2Q_OK;
    if (status) return status;
    *unknown = *at != '\0';
    if (*unknown) return GPT2Q_INVALID_ARGUMENT;
    if (scheme_has_codes(s) && s.grid == QGRID_ABSMAX && !scheme_has_absmax(s.format))
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "scheme \"%s\": absmax leaves one of %d codes unused, so %s takes signed, minmax or affine", spec,
            1 << format_facts[format].bits, format_facts[format].name);
    *out = s;
    return GPT2Q_OK;
}

/* ---- the nearest SPEC ---- */

struct nearest {
    const char *wanted;
    char text[SPEC_MAX + 1];
    int distance;
};

/* A candidate that is no SPEC is passed over. */
static void nearest_try(struct nearest *best, const char *candidate)
{
    int distance = (int)edit_distance(best->wanted, candidate);
    struct scheme read;
    bool unknown;
    if (distance >= best->distance || read_spec(candidate, &read, &unknown, NULL)) return;
    best->distance = distance;
    snprintf(best->text, sizeof best->text, "%s", candidate);
}

/* Tries every combination, short forms first, so that a tie suggests the shorter one. */
static void nearest_spec(const char *wanted, struct nearest *best)
{
    static const char *const grans[] = {"", ":tensor", ":channel", ":input", ":g16", ":g32", ":g64", ":g128"};
    char cut[SPEC_MAX + 1], candidate[SPEC_MAX + 1];
    snprintf(cut, sizeof cut, "%.*s", SPEC_MAX, wanted);
    best->wanted = cut;
    best->distance = SPEC_MAX + 1;
    for (int f = 0; f < QF_COUNT; f++) nearest_try(best, format_facts[f].name);
    nearest_try(best, "notes");
    for (int f = 0; f < QF_COUNT; f++)
        for (size_t g = 0; g < sizeof grans / sizeof *grans; g++)
            for (int grid = -1; grid < QGRID_NOTES; grid++) {
                const int n = snprintf(candidate, sizeof candidate, "%s%s%s%s", format_facts[f].name,
                                       grans[g], grid < 0 ? "" : ":", grid < 0 ? "" : grid_names[grid]);
                nearest_try(best, candidate);
                snprintf(candidate + n, sizeof candidate - (size_t)n, ":f32");
                nearest_try(best, candidate);
            }
}

static gpt2q_status unknown_scheme(const char *spec, gpt2q_error *err)
{
    struct nearest best;
    char specs[SCHEME_HELP_MAX];
    nearest_spec(spec, &best);
    if ((size_t)best.distance * 2 >= strlen(spec) + 1) /* nothing is near */
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "unknown scheme \"%s\": a scheme is %s", spec,
                         scheme_help(specs));
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "unknown scheme \"%s\"; did you mean \"%s\"?", spec,
                     best.text);
}

gpt2q_status scheme_parse(const char *spec, struct scheme *out, gpt2q_error *err)
{
    bool unknown = false;
    const gpt2q_status status = read_spec(spec, out, &unknown, err);
    return unknown ? unknown_scheme(spec, err) : status;
}
