/* `--method` of quantize: its options, running the methods, and what is shown of them. */
#ifndef APP_METHOD_OPTIONS_H
#define APP_METHOD_OPTIONS_H
#include "app/common.h"
#include "methods/run.h"

struct method_options {
    struct string_list methods, texts;
    int64_t tokens, window, refine, hqq_iterations;
    double damp, qep, head_damp, smooth_alpha, static_percent;
    const char *act_order, *true_sequential, *search, *awq_sites;
    const char *list; /* the option that names methods: "method" or "from" */
};
/* Adds --method and all that belongs to it. For `train` the list is --from, and there are no static scales. */
void method_options_add(struct option_set *set, struct method_options *o);
void method_options_add_from(struct option_set *set, struct method_options *o);
/* Checks names, compositions and texts. Returns EXIT_USAGE after a sentence. */
int method_options_plan(const struct method_options *o, struct method_plan *plan);
/* Refuses options that no method of the plan reads. method_options_plan does, too. */
int method_options_check_uses(const struct method_options *o, const struct method_plan *plan);

struct method_run {
    struct methods_result result;
    struct calibration text;
    char method[METHOD_TEXT_MAX]; /* for the file's metadata */
    char *calibration;            /* likewise, NULL: none */
    cJSON *reports;
    double seconds;
};
/* Reads the texts, runs the methods and hands their results to the quantizer. Returns an exit code. A
 * plain plan does nothing. */
int method_run(const struct method_options *o, const struct method_plan *plan, const char *model, bool json,
               bool quiet, struct quantizer *q, struct method_run *out);
/* Reads only the texts, into out->text and out->calibration, if the plan reads some. For callers whose methods ran before. */
int method_text(const struct method_options *o, const struct method_plan *plan, const char *model, bool quiet,
                const struct quantizer *q, struct method_run *out);
/* Adds "method", "calibration" and "losses" to the JSON report. */
void method_run_json(struct method_run *r, cJSON *doc); /* takes the reports out of r */
void method_run_free(struct method_run *r);
#endif
