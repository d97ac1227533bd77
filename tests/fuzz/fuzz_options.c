/* Any words as a command line: refused, or every value lies within what its option says. The first byte
 * chooses the command, zero bytes end words. No command runs. */
#include "app/commands.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_WORDS 100

static const struct command *const commands[] = {
    &command_batch,    &command_bench,   &command_compare,  &command_eval,     &command_explain,
    &command_generate, &command_inspect, &command_quantize, &command_tokenize, &command_trace,
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void check_value(const struct option *o)
{
    const struct string_list *list = o->value;
    switch (o->type) {
    case OPTION_STRING:
        if (*(const char **)o->value) assert(strlen(*(const char **)o->value) < 1 << 20);
        break;
    case OPTION_LIST:
        assert(list->n <= LIST_MAX);
        for (size_t i = 0; i < list->n; i++) assert(strlen(list->items[i]) < 1 << 20);
        break;
    default: break;
    }
}

/* A value that was given is within the bounds; a default may say "not given" by one that is not. */
static void check_bounds(const struct option *o, const struct option *before)
{
    double now = o->type == OPTION_INTEGER ? (double)*(int64_t *)o->value : *(double *)o->value;
    if (!memcmp(o->value, before->value, sizeof now)) return;
    assert(isfinite(now) && now >= o->min && now <= o->max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    static struct option_set set;
    char text[2048], *words[MAX_WORDS];
    int64_t before[OPTIONS_MAX];
    int argc = 0, n = 0;
    bool help = false;
    if (!nowhere) stderr = nowhere = fopen("/dev/null", "w");
    if (size < 2 || size >= sizeof text) return 0;
    const struct command *command = commands[data[0] % N_COMMANDS];
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    for (size_t i = 0; i < size - 1 && argc < MAX_WORDS; i += strlen(text + i) + 1) words[argc++] = text + i;
    set.n = 0;
    command->options(&set);
    for (size_t i = 0; i < set.n; i++) {
        const struct option *o = &set.options[i];
        if (o->type == OPTION_LIST) ((struct string_list *)o->value)->n = 0;
        if (o->type == OPTION_INTEGER || o->type == OPTION_NUMBER || o->type == OPTION_PERCENT)
            memcpy(&before[i], o->value, sizeof *before);
    }
    set_command_name(command->name);
    if (!options_parse(command, argc, words, &n, &help)) return 0;
    assert(n >= 0 && n <= argc);
    for (size_t i = 0; i < set.n; i++) {
        const struct option *o = &set.options[i];
        struct option was = *o;
        was.value = &before[i];
        check_value(o);
        if (o->type == OPTION_INTEGER || o->type == OPTION_NUMBER || o->type == OPTION_PERCENT)
            check_bounds(o, &was);
        /* the words go away with this call */
        if (o->type == OPTION_STRING) *(const char **)o->value = NULL;
        if (o->type == OPTION_LIST) ((struct string_list *)o->value)->n = 0;
    }
    return 0;
}
