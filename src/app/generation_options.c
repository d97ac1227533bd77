/* The options of everything that generates, and where a prompt comes from. */
#include "app/common.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "engine/speculation.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PROMPT_BYTES ((size_t)64 << 20)
#define MAX_PROPOSALS    64 /* of all rows in a step: a pass over more takes longer than the tokens save */

const struct generation_options generation_defaults = {
    .max_tokens = 64, .samples = 1, .logprobs = -1, .top_p = 1, .repetition_penalty = 1, .truncate = "error"};

void generation_options_add(struct option_set *set, struct generation_options *o)
{
    *o = generation_defaults;
    option_add(set, (struct option){'n', "max-tokens", OPTION_INTEGER, &o->max_tokens, "N",
                                    "tokens to make at most; 0 scores the prompt only (default: 64)", 0,
                                    INT32_MAX});
    option_add(set, (struct option){'t', "temperature", OPTION_NUMBER, &o->temperature, "T",
                                    "0 is greedy (the default); above 0 tokens are drawn", 0, 1e6});
    option_add(set, (struct option){0, "top-k", OPTION_INTEGER, &o->top_k, "K",
                                    "draw from the K likeliest tokens only (0: all)", 0, INT32_MAX});
    option_add(set,
               (struct option){0, "top-p", OPTION_NUMBER, &o->top_p, "P",
                               "draw from the fewest likeliest tokens whose probability reaches P (1: all)",
                               1e-30, 1});
    option_add(set, (struct option){
                        0, "min-p", OPTION_NUMBER, &o->min_p, "P",
                        "draw from tokens of at least P times the likeliest's probability (0: all)", 0, 1});
    option_add(set,
               (struct option){0, "repetition-penalty", OPTION_NUMBER, &o->repetition_penalty, "R",
                               "divide positive and multiply negative logits of tokens seen by R (1: none)",
                               1e-6, 1e6});
    option_add(set, (struct option){0, "seed", OPTION_SEED, &o->seed, "S",
                                    "the same seed draws the same tokens (default: 0)", 0, 0});
    option_add(set,
               (struct option){0, "samples", OPTION_INTEGER, &o->samples, "N",
                               "number of completions; sample j draws with seed S+j (default: 1)", 1, 1024});
    option_add(set, (struct option){0, "stop", OPTION_LIST, &o->stop, "TEXT",
                                    "end before this text; repeatable", 0, 0});
    option_add(set, (struct option){0, "ignore-eos", OPTION_FLAG, &o->ignore_eos, NULL,
                                    "go on after <|endoftext|>", 0, 0});
    option_add(set, (struct option){
                        0, "logprobs", OPTION_INTEGER, &o->logprobs, "K",
                        "log-probabilities of the tokens and of the K likeliest in their place (with --json)",
                        0, INT32_MAX});
    option_add(set, (struct option){0, "echo", OPTION_FLAG, &o->echo, NULL,
                                    "the text begins with the prompt; log-probabilities cover it too", 0, 0});
    option_add(set, (struct option){0, "speculate", OPTION_INTEGER, &o->speculate, "N",
                                    "where the text repeats itself, propose up to N tokens and check them in "
                                    "one pass: the same answer, sooner (0: off, the default)",
                                    0, SPECULATION_MAX});
    option_add(set,
               (struct option){
                   0, "truncate", OPTION_STRING, &o->truncate, "error|left",
                   "a prompt too long for the context is an error (the default), or loses its oldest tokens",
                   0, 0});
    option_add(set, (struct option){0, "ids", OPTION_FLAG, &o->ids, NULL,
                                    "prompts are ids (\"464 2068\"); needs no vocabulary", 0, 0});
}

int generation_options_check(const struct generation_options *o)
{
    if (strcmp(o->truncate, "error") && strcmp(o->truncate, "left"))
        return usage_error("--truncate is '%s' where 'error' or 'left' is expected", o->truncate);
    for (size_t i = 0; i < o->stop.n; i++)
        if (!*o->stop.items[i]) return usage_error("--stop is empty where a text is expected");
    return EXIT_DONE;
}

gpt2q_request request_from_options(const struct generation_options *o)
{
    gpt2q_request r = gpt2q_request_default();
    r.max_tokens = (int32_t)o->max_tokens;
    r.n_samples = (int32_t)o->samples;
    r.n_logprobs = (int32_t)o->logprobs;
    r.speculate = (int32_t)o->speculate;
    r.echo = o->echo;
    r.ignore_eos = o->ignore_eos;
    r.truncate_left = !strcmp(o->truncate, "left");
    r.sampling.temperature = (float)o->temperature;
    r.sampling.top_k = (int32_t)o->top_k;
    r.sampling.top_p = o->top_p;
    r.sampling.min_p = (float)o->min_p;
    r.sampling.repetition_penalty = (float)o->repetition_penalty;
    r.sampling.seed = o->seed;
    r.stop = o->stop.items;
    r.n_stop = o->stop.n;
    return r;
}

int32_t output_rows(const struct generation_options *o, int32_t n_rows)
{
    int64_t proposals = o->speculate * n_rows;
    return n_rows + (int32_t)(proposals < MAX_PROPOSALS ? proposals : MAX_PROPOSALS);
}

/* Whether a text arrives on standard input: it is neither a terminal nor /dev/null. */
static bool input_is_sent(void)
{
    struct stat st;
    return !fstat(STDIN_FILENO, &st) && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode));
}

int read_prompt(int argc, char **argv, const char *file, char **text, size_t *n)
{
    gpt2q_error err;
    *text = NULL;
    if (argc > 1)
        return usage_error("one prompt is expected, not %d arguments: put quotes around it, \"%s %s ...\"",
                           argc, argv[0], argv[1]);
    if (argc == 1 && file) return usage_error("a prompt and --file were given: one of them is expected");
    if (argc == 0 && !file && input_is_sent()) file = "-";
    if (argc == 0 && !file)
        return usage_error("a prompt is expected: gpt2q generate \"Once upon a time\", or --file FILE, or - "
                           "for standard input");
    if (argc == 1 && !strcmp(argv[0], "-")) file = "-";
    if (!file) {
        *n = strlen(argv[0]);
        *text = mem_memdup(argv[0], *n);
        return *text ? EXIT_DONE : failure("out of memory: a prompt of %zu bytes", *n);
    }
    if (file_read_text(file, MAX_PROMPT_BYTES, text, n, &err)) return failed(&err);
    if (*n && (*text)[*n - 1] == '\n') { /* or \r\n */
        (*text)[--*n] = '\0';
        if (*n && (*text)[*n - 1] == '\r') (*text)[--*n] = '\0';
    }
    return EXIT_DONE;
}

gpt2q_status ids_of_text(const char *text, int32_t **ids, size_t *n, gpt2q_error *err)
{
    *n = 0;
    *ids = mem_array(strlen(text) / 2 + 1, sizeof **ids);
    if (!*ids) return error_memory(err, "ids", strlen(text));
    const char *p = text + strspn(text, " \t\r\n");
    bool array = *p == '[';
    for (p += array;;) {
        p += strspn(p, " \t\r\n,");
        if (array && *p == ']' && !p[1 + strspn(p + 1, " \t\r\n")]) return GPT2Q_OK;
        if (!*p && !array) return GPT2Q_OK;
        if (!*p) {
            mem_free(*ids);
            *ids = NULL;
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "the ids begin with '[' and end without ']'");
        }
        char *end;
        errno = 0;
        long long v = strtoll(p, &end, 10);
        if (end == p || errno || v < 0 || v > INT32_MAX ||
            (*end && !strchr(array ? " \t\r\n,]" : " \t\r\n,", *end))) {
            mem_free(*ids);
            *ids = NULL;
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "'%.20s' is no token id: ids are whole numbers from 0 on", p);
        }
        (*ids)[(*n)++] = (int32_t)v;
        p = end;
    }
}

int parse_ids(const char *text, int32_t **ids, size_t *n)
{
    gpt2q_error err;
    gpt2q_status s = ids_of_text(text, ids, n, &err);
    if (s == GPT2Q_OUT_OF_MEMORY) return failed(&err);
    return s ? usage_error("%s", err.message) : EXIT_DONE;
}
