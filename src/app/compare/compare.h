/* What the files of `gpt2q compare` share.
 *
 *     cmd_compare.c       options, the list of schemes
 *     run.c               one scheme after the other beside the reference
 *     table.c             completions and tables for people
 *     bought.c            what a file's method bought, matrix by matrix
 *     json.c              JSON and CSV
 *     sensitivity.c       tensor by tensor, and a mixed model within a budget
 *     html.c              the page; page.c: what it shares with its plots, plots*.c and svg.c */
#ifndef APP_COMPARE_H
#define APP_COMPARE_H
#include "app/measured_text.h"
#include "base/sha256.h"
#include "study/ledger.h"
#include "study/score.h"
#include "study/sensitivity.h"
#include "study/weight_errors.h"

struct completion {
    int32_t *ids;
    size_t n;
    char *text;
    size_t text_len;
    int64_t first_divergence; /* index of the first token that is not the reference's; -1: none */
    size_t mark;              /* byte of the text where it begins */
};

/* One scheme: what was asked for, and what came out. */
struct compared {
    const char *spec; /* as given: a SPEC or, with `file`, the path of a quantized model */
    bool file;
    const char *activations; /* as given, NULL: the default; once it has run, those that were used */
    char scheme[SCHEME_TEXT_MAX];
    bool done;
    uint64_t bytes, parameters;
    struct completion *completions; /* n_prompts, or NULL */
    struct score score;
    double kl_p99;
    double prefill_rate, decode_rate, seconds; /* rates: tokens/s, NaN where nothing was made */
    struct weight_error *weights;
    size_t n_weights;
    struct ledger ledgers[LEDGER_READINGS];
    struct weight_histogram histogram;
    char *method, *calibration; /* of a file: how it says it was made; NULL: rounded to nearest */
    struct compared *nearest;   /* beside a method: the same schemes rounded to nearest. NULL: none */
};

struct comparison {
    struct model_options options;
    const char *name; /* of the model */
    const char *const *prompts;
    size_t n_prompts;
    int32_t max_tokens;
    struct windows windows;
    const char *text; /* its path */
    char text_sha256[SHA256_TEXT];
    bool layers, page;
    bool interrupted;         /* by a signal, before all was measured */
    struct compared *schemes; /* the first is the reference */
    size_t n_schemes;
    const char
        *sensitivity_to; /* a SPEC or, with sensitivity_file, the path of a quantized model; NULL: none */
    bool sensitivity_file;
    uint64_t budget;          /* bytes; 0: none */
    size_t sensitivity_level; /* of sensitivity_to */
    struct sensitivity sensitivity;
    const char *histogram_of; /* a tensor's name, or NULL */
    double histogram_reach;   /* the largest |w| of it */
    gpt2q_model *reference;   /* open before compare_run, closed by compare_free */
};

/* Runs all schemes. Returns an exit code. Schemes that are done are marked, also after an interruption. */
int compare_run(struct comparison *c);
void compare_free(struct comparison *c);
/* Opens the model in a scheme. The overrides of the options hold for all but the reference. */
int compare_open(const struct comparison *c, const struct compared *s, gpt2q_model **out);
/* What a quantized file says of itself; NULL: nothing, or no such file. */
const char *compare_metadata(const gpt2q_model *model, const char *key);

/* What a method bought on one matrix: figures of rounding to nearest, and of the file. Outputs' errors are relative, on the text that
 * is compared; NaN without layers. */
struct bought {
    const char *name; /* without ".weight" */
    const struct weight_error *nearest, *now;
    double local_nearest, local; /* of its outputs from the reference's inputs */
    double all_nearest, all;     /* accumulated: from the model's own inputs */
};
/* Whether weight i of the file is a matrix that both hold. s->nearest is there. */
bool compare_bought(const struct compared *s, size_t i, struct bought *out);
void compare_print_bought(const struct comparison *c);
/* Adds "method", "calibration" and "nearest" to a scheme's object. */
void compare_add_bought(cJSON *scheme, const struct compared *s);

/* compare_sensitivity ranks the tensors, once compare_run is done. The others print the ranking, or make
 * it a JSON object. */
int compare_sensitivity(struct comparison *c);
void compare_print_sensitivity(const struct comparison *c);
cJSON *compare_sensitivity_json(const struct comparison *c);

void compare_print(const struct comparison *c);
/* Whether an integer product rounds the levels of the scheme's codes: nf4's. */
bool compare_rounds_levels(const struct compared *s);
/* A document for json_print. */
cJSON *compare_json(const struct comparison *c);
int compare_write_csv(const struct comparison *c, const char *path);
/* All schemes must be done. */
int compare_write_html(const struct comparison *c, const char *path);
#endif
