/* Completion: how a word of a command line could go on, from the commands' own tables of options. The
 * scripts of the shells only ask for it (tools/completion.bash, .zsh, .fish). */
#include "app/options.h"
#include "engine/context.h"
#include "qtensor/isa.h"
#include <stdio.h>
#include <string.h>

#define CANDIDATE_MAX 512

static bool begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

/* Offers `before` and the first n bytes of `text` as a completion of `word`. */
static void offer(const char *word, const char *before, const char *text, size_t n, const char *help)
{
    size_t length = strlen(before), typed = strlen(word);
    if (strncmp(word, before, length) || typed - length > n || strncmp(word + length, text, typed - length))
        return;
    printf("%s%.*s", before, (int)n, text);
    if (help) printf("\t%.*s", (int)strcspn(help, ";:("), help);
    putchar('\n');
}

/* ---- values ---- */

static void offer_words(const char *word, const char *before, const char *metavar)
{
    for (size_t n; *metavar; metavar += n + (metavar[n] != '\0')) {
        n = strcspn(metavar, "|,");
        bool literal = n > 0;
        for (size_t i = 0; i < n;
             i++) /* upper case, as in PATH or LxDxH, and [..] stand for something else */
            literal = literal && !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ[]<>.", metavar[i]);
        if (literal) offer(word, before, metavar, n, NULL);
    }
}

static void offer_activations(const char *word, const char *before)
{
    for (int i = 0; i < ACTIVATIONS_COUNT; i++) {
        const char *name = activations_print((enum activations)i);
        offer(word, before, name, strlen(name), NULL);
    }
}

/* What may follow a format's name, after its colons. */
static const char *const grans[] = {"", ":tensor", ":channel", ":input", ":g32", ":g64", ":g128"};
static const char *const grids[] = {"", ":absmax", ":signed", ":minmax", ":affine"};

/* The SPECs that begin with a format. Long forms come once a colon has been typed. */
static void offer_format(const char *word, const char *before, const char *format)
{
    const char *colon = strchr(word + strlen(before), ':');
    const size_t n_grans = colon ? sizeof grans / sizeof *grans : 1;
    const size_t n_grids = colon && strchr(colon + 1, ':') ? sizeof grids / sizeof *grids : 1;
    char spec[40];
    for (size_t g = 0; g < n_grans; g++)
        for (size_t z = 0; z < n_grids; z++) {
            struct scheme scheme;
            snprintf(spec, sizeof spec, "%s%s%s", format, grans[g], grids[z]);
            if (!scheme_parse(spec, &scheme, NULL)) offer(word, before, spec, strlen(spec), NULL);
        }
}

/* Every SPEC of this build. Where names share a beginning up to a colon, as fp8:e4m3 and fp8:e5m2 do, it is offered first. */
static void offer_schemes(const char *word, const char *before)
{
    char family[40], last[40] = "";
    for (int f = 0; f < QF_COUNT; f++) {
        const char *name = format_facts[f].name;
        snprintf(family, sizeof family, "%.*s", (int)strcspn(name, ":"), name);
        if (strcmp(last, family)) offer_format(word, before, family);
        if (strcmp(name, family) && strchr(word + strlen(before), ':')) offer_format(word, before, name);
        memcpy(last, family, sizeof last);
    }
    offer_format(word, before, "notes");
}

/* The value of an option. It begins after `skip` bytes of `word`. A list goes on after its last comma. */
static void offer_value(const struct option *o, const char *word, size_t skip)
{
    const char *metavar = o->metavar ? o->metavar : "", *value = word + skip, *comma = strrchr(value, ',');
    char before[CANDIDATE_MAX];
    if (strchr(metavar, ',') && comma) value = comma + 1;
    const char *equals = begins(metavar, "GLOB=") ? strrchr(value, '=') : NULL;
    if (equals) value = equals + 1;
    const char *at = strchr(metavar, '@') ? strchr(value, '@') : NULL;
    if (at) value = at + 1;
    if ((size_t)(value - word) >= sizeof before) return;
    snprintf(before, sizeof before, "%.*s", (int)(value - word), word);
    if (at)
        offer_activations(word, before);
    else if (begins(metavar, "SPEC") || equals)
        offer_schemes(word, before);
    else if (!strcmp(metavar, "ISA"))
        for (size_t i = 0; i < isa_count(); i++)
            offer(word, before, isa_at(i)->name, strlen(isa_at(i)->name), NULL);
    else
        offer_words(word, before, metavar);
    if (strstr(metavar, "FILE") || strstr(metavar, "DIR") || strstr(metavar, "PATH")) puts(":files");
}

/* ---- options and commands ---- */

static void offer_options(const struct option_set *set, const char *word)
{
    char name[CANDIDATE_MAX];
    for (size_t i = 0; i < set->n; i++) {
        snprintf(name, sizeof name, "--%s%s", set->options[i].name, set->options[i].metavar ? "=" : "");
        offer(word, "", name, strlen(name), set->options[i].help);
    }
    offer(word, "", "--help", 6, "show this help");
}

static void offer_commands(const struct command *const *commands, size_t n, const char *word, bool options)
{
    for (size_t i = 0; i < n; i++)
        offer(word, "", commands[i]->name, strlen(commands[i]->name), commands[i]->summary);
    if (!options) return;
    offer(word, "", "help", 4, "show the help of a command");
    if (*word != '-') return;
    offer(word, "", "--help", 6, "show all commands");
    offer(word, "", "--version", 9, "what this build and this machine are");
}

static const struct option *option_called(const struct option_set *set, const char *word)
{
    size_t n = strcspn(word, "=");
    for (size_t i = 0; i < set->n; i++) {
        const struct option *o = &set->options[i];
        bool is_long = begins(word, "--") && n == strlen(o->name) + 2 && !strncmp(word + 2, o->name, n - 2);
        if (o->metavar && (is_long || (o->letter && word[0] == '-' && word[1] == o->letter && !word[2])))
            return o;
    }
    return NULL;
}

void complete_words(const struct command *const *commands, size_t n_commands, char **words, int n)
{
    static char empty[] = "";
    char *word = n ? words[n - 1] : empty;
    const struct command *command = NULL;
    if (n >= 2)
        for (size_t i = 0; i < n_commands; i++)
            if (!strcmp(words[0], commands[i]->name)) command = commands[i];
    if (!command) {
        bool after_help = n == 2 && !strcmp(words[0], "help");
        if (n < 2 || after_help) offer_commands(commands, n_commands, word, !after_help);
        return;
    }
    struct option_set set = {.n = 0};
    command->options(&set);
    const char *equals = begins(word, "--") ? strchr(word, '=') : NULL;
    const struct option *here = equals ? option_called(&set, word) : NULL,
                        *before = n > 2 ? option_called(&set, words[n - 2]) : NULL;
    if (before && strchr(words[n - 2], '=')) before = NULL;
    if (before)
        offer_value(before, word, 0);
    else if (here)
        offer_value(here, word, (size_t)(equals + 1 - word));
    else if (*word == '-')
        offer_options(&set, word);
    else
        puts(":files");
}
