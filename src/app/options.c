#include "app/options.h"
#include "base/terminal_text.h"
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *command_name = "";
void set_command_name(const char *name) { command_name = name; }

static void complain(const char *format, va_list args)
{
    fflush(stdout);
    char message[2048], safe[2 * sizeof message];
    int n = vsnprintf(message, sizeof message, format, args);
    if (n < 0) n = 0;
    if (n >= (int)sizeof message) n = (int)sizeof message - 1;
    terminal_text(safe, sizeof safe, message, (size_t)n);
    fprintf(stderr, "gpt2q%s%s: %s\n", *command_name ? " " : "", command_name, safe);
}

int usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    return EXIT_USAGE;
}

int failure(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complain(format, args);
    va_end(args);
    return EXIT_FAILED;
}

void option_add(struct option_set *set, struct option option)
{
    assert(set->n < OPTIONS_MAX);
    set->options[set->n++] = option;
}

static bool parse_number(const struct option *o, const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    return end != text && !*end && !errno && isfinite(*out) && *out >= o->min && *out <= o->max;
}

static bool parse_integer(const struct option *o, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || (double)v < o->min || (double)v > o->max) return false;
    *out = v;
    return true;
}

static bool parse_seed(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool bad_value(const struct option *o, const char *text)
{
    const bool whole = o->type == OPTION_INTEGER || o->type == OPTION_EVERY;
    const char *kind = whole ? "an integer" : "a number";
    if (o->type == OPTION_SEED)
        usage_error("--%s is '%s' where an integer from 0 to 18446744073709551615 is expected", o->name,
                    text);
    else if (o->max >= 1e18)
        usage_error("--%s is '%s' where %s of at least %.15g is expected", o->name, text, kind, o->min);
    else
        usage_error("--%s is '%s' where %s from %.15g to %.15g is expected", o->name, text, kind, o->min,
                    o->max);
    return false;
}

/* The options that the command line names. */
static const char *given[OPTIONS_MAX];
static size_t n_given;

bool option_given(const char *name)
{
    for (size_t i = 0; i < n_given; i++)
        if (!strcmp(given[i], name)) return true;
    return false;
}

int options_check_uses(const struct option_use *uses, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!uses[i].is_read && option_given(uses[i].name))
            return usage_error("--%s changes nothing %s", uses[i].name, uses[i].unread);
    return EXIT_DONE;
}

static bool set_value(const struct option *o, const char *text)
{
    const bool again = option_given(o->name);
    if (!again) given[n_given++] = o->name;
    switch (o->type) {
    case OPTION_FLAG: *(bool *)o->value = true; return true;
    case OPTION_STRING: *(const char **)o->value = text; return true;
    case OPTION_INTEGER: return parse_integer(o, text, o->value) || bad_value(o, text);
    case OPTION_EVERY:
        if (!text) return *(int64_t *)o->value = 1, true;
        return parse_integer(o, text, o->value) || bad_value(o, text);
    case OPTION_PERCENT:
        if (!text) return *(double *)o->value = 100.0, true;
        return parse_number(o, text, o->value) || bad_value(o, text);
    case OPTION_NUMBER: return parse_number(o, text, o->value) || bad_value(o, text);
    case OPTION_SEED: return parse_seed(text, o->value) || bad_value(o, text);
    case OPTION_LIST: break;
    }
    struct string_list *list = o->value;
    if (!again) list->n = 0; /* what stands there is from elsewhere */
    if (list->n == LIST_MAX) {
        usage_error("--%s is given more than %d times", o->name, LIST_MAX);
        return false;
    }
    list->items[list->n++] = text;
    return true;
}

static bool unknown(const struct option_set *set, const char *name)
{
    const char *names[OPTIONS_MAX + 1], *near;
    for (size_t i = 0; i < set->n; i++) names[i] = set->options[i].name;
    names[set->n] = "help";
    near = nearest_name(name, names, set->n + 1);
    if (near)
        usage_error("unknown option '--%s': did you mean '--%s'?", name, near);
    else
        usage_error("unknown option '--%s': 'gpt2q help %s' lists what there is", name, command_name);
    return false;
}

/* Whether --name needs no value. The next word is one where it begins with a digit. */
static bool stands_alone(enum option_type type) { return type == OPTION_PERCENT || type == OPTION_EVERY; }

/* "--name", "--name=value" or "--name value". *i moves past the words that were used. */
static bool parse_long(const struct option_set *set, int argc, char **argv, int *i, bool *help)
{
    char name[64];
    const char *word = argv[*i] + 2, *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    snprintf(name, sizeof name, "%.*s", (int)n, word);
    if (!strcmp(name, "help") && !equals) return *help = true;
    for (size_t k = 0; k < set->n; k++) {
        const struct option *o = &set->options[k];
        if (strcmp(o->name, name)) continue;
        if (o->type == OPTION_FLAG) {
            if (!equals) return set_value(o, NULL);
            usage_error("--%s takes no value", name);
            return false;
        }
        if (equals) return set_value(o, equals + 1);
        if (stands_alone(o->type) && (*i + 1 >= argc || argv[*i + 1][0] < '0' || argv[*i + 1][0] > '9'))
            return set_value(o, NULL);
        if (*i + 1 < argc) return set_value(o, argv[++*i]);
        usage_error("--%s needs a value: %s", name, o->metavar);
        return false;
    }
    return unknown(set, name);
}

/* Whether "-name" was written for "--name". As "-n ame" it would only be understood wrongly. */
static bool lacks_a_dash(const struct option_set *set, const char *word)
{
    const size_t n = strcspn(word, "=");
    for (size_t k = 0; k <= set->n; k++) {
        const char *name = k < set->n ? set->options[k].name : "help";
        if (n < 2 || strlen(name) != n || strncmp(name, word, n) != 0) continue;
        usage_error("unknown option '-%s': did you mean '--%s'?", word, name);
        return true;
    }
    return false;
}

/* "-n 5", "-n5" or flags. */
static bool parse_short(const struct option_set *set, int argc, char **argv, int *i, bool *help)
{
    const char *word = argv[*i] + 1;
    if (!strcmp(word, "h")) return *help = true;
    if (lacks_a_dash(set, word)) return false;
    for (size_t k = 0; k < set->n; k++) {
        const struct option *o = &set->options[k];
        if (!o->letter || o->letter != *word) continue;
        if (o->type == OPTION_FLAG && !word[1]) return set_value(o, NULL);
        if (o->type == OPTION_FLAG) break;
        if (word[1]) return set_value(o, word + 1);
        if (*i + 1 < argc) return set_value(o, argv[++*i]);
        usage_error("-%c needs a value: %s", o->letter, o->metavar);
        return false;
    }
    usage_error("unknown option '%s': 'gpt2q help %s' lists what there is", argv[*i], command_name);
    return false;
}

bool options_parse(const struct command *command, int argc, char **argv, int *n_arguments, bool *help)
{
    struct option_set set = {.n = 0};
    command->options(&set);
    *n_arguments = 0;
    *help = false;
    n_given = 0;
    bool only_arguments = false;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (only_arguments || word[0] != '-' || !word[1]) {
            argv[(*n_arguments)++] = word;
        } else if (!strcmp(word, "--")) {
            only_arguments = true;
        } else if (!(word[1] == '-' ? parse_long(&set, argc, argv, &i, help)
                                    : parse_short(&set, argc, argv, &i, help))) {
            return false;
        }
        if (*help) return true;
    }
    return true;
}
