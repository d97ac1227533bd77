/* The command line: a table of options per command, parsed the same way everywhere, and the help made from it. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SIGINT = 130, EXIT_SIGTERM = 143 };

enum option_type {
    OPTION_FLAG,    /* bool */
    OPTION_STRING,  /* const char * */
    OPTION_INTEGER, /* int64_t, within [min, max] */
    OPTION_NUMBER,  /* double, within [min, max] */
    OPTION_SEED,    /* uint64_t */
    OPTION_LIST     /* struct string_list, repeatable */
};

#define LIST_MAX 64
struct string_list {
    const char *items[LIST_MAX];
    size_t n;
};

struct option {
    char letter; /* 0: none */
    const char *name;
    enum option_type type;
    void *value;
    const char *metavar, *help;
    double min, max;
};

#define OPTIONS_MAX 64
struct option_set {
    struct option options[OPTIONS_MAX];
    size_t n;
};

struct command {
    const char *name, *arguments, *summary;
    const char *description; /* paragraphs after the usage line */
    const char *examples;    /* one a line, "command  # what it does" */
    void (*options)(struct option_set *set);
    int (*run)(int argc, char **argv); /* argv: the positional arguments; returns an exit code */
};

void option_add(struct option_set *set, struct option option);

/* Parses argv (without program and command) by the command's options; positional arguments are moved to the front and counted in
 * *n_arguments. False, after a sentence on stderr, for wrong usage. *help: --help was asked for. */
bool options_parse(const struct command *command, int argc, char **argv, int *n_arguments, bool *help);
void command_help(const struct command *command);
/* One option a line, for completion. */
void command_list_options(const struct command *command);

/* "gpt2q generate: ..." on stderr; returns EXIT_USAGE / EXIT_FAILED. */
__attribute__((format(printf, 1, 2))) int usage_error(const char *format, ...);
__attribute__((format(printf, 1, 2))) int failure(const char *format, ...);
void set_command_name(const char *name);

/* Of n names the one nearest to a misspelt word, NULL if none is near. */
const char *nearest_name(const char *word, const char *const *names, size_t n);
#endif
