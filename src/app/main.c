/* gpt2q: the program. Finds the command, parses its options, runs it. */
#include "app/commands.h"
#include "app/common.h"
#include "app/provenance.h"
#include "app/tables.h"
#include "base/json.h"
#include "base/waiting_stream.h"
#include "base/memory.h"
#include "base/threads.h"
#include "gpt2q.h"
#include "model/locate.h"
#include "qtensor/isa.h"
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

static const struct command *const commands[] = {
    &command_generate, &command_batch,   &command_compare, &command_eval,     &command_trace,
    &command_quantize, &command_inspect, &command_explain, &command_tokenize, &command_bench,
    &command_train,    &command_pull,    &command_serve};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void overview(void)
{
    printf("Usage: gpt2q COMMAND [OPTION]... [ARGUMENT]...\n"
           "Run GPT-2 on quantized weights on a CPU.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++) printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("  help       show the help of a command\n\n");
    print_paragraph("'gpt2q help COMMAND' or 'gpt2q COMMAND --help' says more. 'gpt2q --version' says what "
                    "this build and "
                    "this machine are.");
    printf("\nExamples:\n");
    print_examples(
        "  gpt2q generate \"The quick brown fox\"        continue a prompt with the default model\n"
        "  gpt2q generate -m gpt2 -q i8 -n 20 \"Hello\"  another model, its weights held in int8\n"
        "  gpt2q inspect models/tales-7m               what a model holds\n");
    putchar('\n');
    print_paragraph(
        "Exit codes: 0 done; 1 it could not be done; 2 wrong usage; 130 interrupted (143 by SIGTERM).");
}

static int version(void)
{
    const struct isa *isa;
    gpt2q_error err;
    char *path = NULL;
    printf("gpt2q %s\n", gpt2q_version());
#if defined(__clang__)
    printf("compiler: clang %s\n", __clang_version__);
#else
    printf("compiler: gcc %s\n", __VERSION__);
#endif
    printf("instruction set: %s\n", isa_choose(NULL, &isa, &err) ? err.message : isa->name);
    printf("OpenMP runtime: %s\n", threads_runtime());
    printf("unicode: %s (utf8proc %s)\n", utf8proc_unicode_version(), utf8proc_version());
    char name[SAFE_NAME];
    printf("default model: %s\n", safe_name(model_locate(NULL, &path, &err) ? err.message : path, name));
    mem_free(path);
    return EXIT_DONE;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[N_COMMANDS + 1];
    for (size_t i = 0; i < N_COMMANDS; i++) names[i] = commands[i]->name;
    names[N_COMMANDS] = "help";
    const char *near = nearest_name(name, names, N_COMMANDS + 1);
    if (near) return usage_error("unknown command '%s': did you mean '%s'?", name, near);
    return usage_error("unknown command '%s': 'gpt2q help' lists what there is", name);
}

/* help --complete WORD... takes any words. */
static int check_help_words(int argc, char **argv)
{
    const bool list = argc && !strcmp(argv[0], "--options");
    if (list && argc != 2) return usage_error("help --options takes the name of a command");
    if (argc > 1 && !strcmp(argv[0], "--commands"))
        return usage_error("help --commands takes no argument, and '%s' is one", argv[1]);
    if (!list && argc > 1)
        return usage_error("help takes the name of one command, not %d: '%s' and '%s'", argc, argv[0],
                           argv[1]);
    return EXIT_DONE;
}

/* help, help COMMAND; for scripts: help --commands, help --options COMMAND, help --complete WORD... */
static int help(int argc, char **argv)
{
    const bool completes = argc && !strcmp(argv[0], "--complete");
    const int code = completes ? EXIT_DONE : check_help_words(argc, argv);
    if (code) return code;
    if (argc == 0 || !strcmp(argv[0], "help")) {
        overview();
    } else if (!strcmp(argv[0], "--commands")) {
        for (size_t i = 0; i < N_COMMANDS; i++) printf("%s\n", commands[i]->name);
        printf("help\n");
    } else if (completes) {
        complete_words(commands, N_COMMANDS, argv + 1, argc - 1);
    } else {
        const char *name = argv[argc - 1];
        const struct command *command = find(name);
        if (!command) return unknown_command(name);
        (!strcmp(argv[0], "--options") ? command_list_options : command_help)(command);
    }
    return EXIT_DONE;
}

static int run(const struct command *command, int argc, char **argv)
{
    int n;
    bool wants_help;
    set_command_name(command->name);
    if (!options_parse(command, argc, argv, &n, &wants_help)) return EXIT_USAGE;
    if (!wants_help) return command->run(n, argv);
    command_help(command);
    return EXIT_DONE;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        overview();
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
        return argc == 2 ? version() : usage_error("%s takes no argument, and '%s' is one", argv[1], argv[2]);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return help(argc - 2, argv + 2);
    const struct command *command = find(argv[1]);
    if (command) return run(command, argc - 2, argv + 2);
    if (argv[1][0] == '-')
        return usage_error("unknown option '%s': a command comes first, 'gpt2q help' lists them", argv[1]);
    return unknown_command(argv[1]);
}

int main(int argc, char **argv)
{
    keep_command_line(argc, argv);
    standard_streams_prepare();
    signals_begin();
    json_when_out_of_memory(exit_out_of_memory);
    int code = dispatch(argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && code == EXIT_DONE)
        code = failure("standard output cannot be written");
    return code;
}
