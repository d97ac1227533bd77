/* The command line: one table of options per command. Parsing and help both follow from it. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H
#include "base/nearest.h"
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
    OPTION_PERCENT, /* double: --name alone is 100, --name=P or --name P within [min, max] */
    OPTION_EVERY,   /* int64_t: --name alone is 1, --name=N or --name N within [min, max] */
    OPTION_LIST     /* struct string_list, repeatable; the command line replaces what stands there before */
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
    /* Completion reads it: "a|b" are words; FILE, PATH and DIR are files, SPEC schemes, ISA instruction
     * sets. With a comma it is a list. */
    const char *metavar;
    const char *help;
    double min, max;
};

#define OPTIONS_MAX 64
struct option_set {
    struct option options[OPTIONS_MAX];
    size_t n;
};

struct command {
    const char *name, *arguments, *summary;
    const char *description; /* follows the usage line; wrapped, except lines that begin with a space */
    const char *examples;    /* one a line: "  gpt2q ..   what it does", at least two spaces between */
    void (*options)(struct option_set *set);
    int (*run)(int argc, char **argv); /* argv holds the positional arguments; returns an exit code */
};

void option_add(struct option_set *set, struct option option);

/* Parses argv (without program and command) by the command's options. Positional arguments move to the
 * front and are counted in *n_arguments. Returns false after a sentence on stderr if the usage is wrong.
 * *help: --help was given. */
bool options_parse(const struct command *command, int argc, char **argv, int *n_arguments, bool *help);
/* Whether the last command line that was parsed names the option, whatever its value. */
bool option_given(const char *name);

/* An option that is read only together with something else. */
struct option_use {
    const char *name;
    bool is_read;
    const char *unread; /* "without --method gptq": why nothing reads it */
};
/* Refuses the first of them that was given and that nothing reads: EXIT_USAGE after a sentence, else EXIT_DONE. */
int options_check_uses(const struct option_use *uses, size_t n);
/* Prints a command's help on stdout, wrapped at the width of the terminal. */
void command_help(const struct command *command);
/* Prints one option a line. */
void command_list_options(const struct command *command);

/* The same for a paragraph, and for lines "  gpt2q ..   what it does". */
void print_paragraph(const char *text);
void print_examples(const char *lines);

/* The columns to write in: the terminal's if stdout is one, else $COLUMNS, else 80; from 40 to 120. */
int terminal_width(void);

/* Prints how the last of n words after "gpt2q" could go on: one candidate a line, with a tab and a short
 * explanation if there is one. The line ":files" says that file names fit, too. */
void complete_words(const struct command *const *commands, size_t n_commands, char **words, int n);

/* Prints "gpt2q generate: ..." on stderr. Returns EXIT_USAGE / EXIT_FAILED. */
__attribute__((format(printf, 1, 2))) int usage_error(const char *format, ...);
__attribute__((format(printf, 1, 2))) int failure(const char *format, ...);
void set_command_name(const char *name);
#endif
