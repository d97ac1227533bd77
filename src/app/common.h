/* What the commands share: their options, opening a model, JSON, signals. */
#ifndef APP_COMMON_H
#define APP_COMMON_H
#include "app/options.h"
#include "base/json_writer.h"
#include "gpt2q.h"
#include <cjson/cJSON.h>

#define MAX_TEXT_BYTES ((size_t)1 << 30) /* of a text that is measured or tokenized */
#define SCHEMES_MAX    32                /* of --schemes */

/* ---- a model and how it is run ---- */
struct model_options {
    const char *model, *scheme, *activations, *isa, *kv;
    int64_t threads, ctx;
    struct string_list overrides;
    bool quiet, verbose, requantize;
};
/* The options of a command that generates: all but --verbose. */
void model_options_add(struct option_set *set, struct model_options *o);
/* The options named in `names` ("model quantize threads"). A command takes only the options that change
 * what it does. */
void model_options_pick(struct option_set *set, struct model_options *o, const char *names);
/* Refuses values that are wrong for every model: EXIT_USAGE after a sentence, else EXIT_DONE. */
int model_options_check(const struct model_options *o);
/* Refuses --requantize where neither --quantize nor --tensor asks for other schemes. */
int model_options_check_uses(const struct model_options *o);
/* Opens the model the options name. An exit code; *out is NULL unless it is EXIT_DONE. */
int open_model(const struct model_options *o, bool weights_only, gpt2q_model **out);
struct left_out;
/* Says on stderr, once, which tensors of a model's files were left out. */
void say_left_out(const struct left_out *left);
/* A context for n_rows sequences; n_outputs rows of logits (0: n_rows). */
int create_context(const struct model_options *o, const gpt2q_model *model, int32_t n_rows, int32_t n_outputs,
                   gpt2q_context **out);
/* Prints err. Returns its exit code. */
int failed(const gpt2q_error *err);

/* ---- what is generated ---- */
struct generation_options {
    int64_t max_tokens, top_k, samples, logprobs, speculate;
    double temperature, top_p, min_p, repetition_penalty;
    uint64_t seed;
    struct string_list stop;
    bool ignore_eos, echo, ids;
    const char *truncate;
};
extern const struct generation_options generation_defaults;
void generation_options_add(struct option_set *set, struct generation_options *o);
int generation_options_check(const struct generation_options *o);
/* The request the options describe, without prompt and callbacks. */
gpt2q_request request_from_options(const struct generation_options *o);
/* The number of rows of logits that n_rows sequences can use when they are decoded together, proposals
 * included. */
int32_t output_rows(const struct generation_options *o, int32_t n_rows);

/* Reads a command's prompt. It is the one argument ("-": standard input), or the file where `file` is not
 * NULL. Without either it is standard input, if that is a pipe or a file. A last newline (LF or CRLF) of a
 * file and a byte order mark are left out. *text is zero-terminated, for mem_free. */
int read_prompt(int argc, char **argv, const char *file, char **text, size_t *n);
/* "464 2068" or "[464, 2068]" to ids, for mem_free. */
int parse_ids(const char *text, int32_t **ids, size_t *n);
/* The same, but returns an error instead of printing it. */
gpt2q_status ids_of_text(const char *text, int32_t **ids, size_t *n, gpt2q_error *err);

/* ---- JSON: valid UTF-8 always; NULL items of an exhausted memory end the program with a sentence ---- */
_Noreturn void exit_out_of_memory(void);
cJSON *json_text(const char *bytes, size_t n);
cJSON *json_ids(const int32_t *ids, size_t n);
cJSON *json_real(double x); /* null if not finite */
/* The same values, written as text. */
void put_ids(struct json_writer *w, const int32_t *ids, size_t n);
void put_logprobs(struct json_writer *w, const gpt2q_position *positions, size_t n, int32_t k);
/* [{"id", "logprob", "top": [k times {"id", "logprob"}]}, ..]; null for a position that has none. */
cJSON *json_logprobs(const gpt2q_position *positions, size_t n, int32_t k);
/* Adds "interrupted": true if a signal cut the run: the document holds what was made until then. One answer to that makes the exit code,
 * the document and the sentence, for a signal may also come after the last step. */
void json_add_interrupted(cJSON *document, bool interrupted);
void json_print(cJSON *document); /* on stdout with a newline; frees it */
/* Text that was made or asked for: broken sequences become U+FFFD; a terminal gets no control characters but ends of lines and tabs. */
void print_text(const char *bytes, size_t n);
/* In tables: control characters are escaped wherever it goes. */
void print_escaped(const char *bytes, size_t n);

/* ---- signals ---- */
/* For the beginning of the program. From now on SIGINT, SIGTERM, SIGHUP and SIGPIPE remove what is half-written and end it; a file that
 * grows beyond its limit (SIGXFSZ) is a failed write; a mapped file that becomes shorter ends it with a sentence that names the file and
 * EXIT_FAILED, not with SIGBUS. A signal that is ignored stays so. */
void signals_begin(void);
/* From now on SIGINT and SIGTERM are noted; a second one ends the program at once. */
void signals_watch(void);
/* From now on writing to a pipe that nobody reads is a failed write. */
void signals_ignore_pipe(void);
int signal_seen(void);      /* 0 or the signal's number */
int signal_exit_code(void); /* 130, 143, or EXIT_DONE if none was seen */
#endif
