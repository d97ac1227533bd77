/* The methods of `--method`, their order and their options. */
#ifndef METHODS_PLAN_H
#define METHODS_PLAN_H
#include "base/status.h"

enum method {
    METHOD_RTN,
    METHOD_MSE,
    METHOD_IMATRIX,
    METHOD_GPTQ,
    METHOD_HQQ,
    METHOD_AWQ, /* this and the next fold factors into the model; another method rounds it */
    METHOD_SMOOTHQUANT,
    METHOD_COUNT
};
extern const char *const method_names[METHOD_COUNT];

enum awq_site { AWQ_LN = 1, AWQ_V = 2, AWQ_MLP = 4 };

struct method_plan {
    enum method rounding;            /* the method that rounds */
    enum method folds[METHOD_COUNT]; /* come before it, in this order */
    int n_folds;
    /* gptq */
    double damp, qep, head_damp;
    bool act_order, true_sequential;
    int refine, search;    /* search: 1, 0, or -1 for: if qep > 0 */
    double static_percent; /* 0: no static scales are written */
    int awq_sites;
    double smooth_alpha;
    int hqq_iterations;
    bool keep_rounded; /* for training: the result's model holds what was rounded, not what the file holds */
};
struct method_plan method_plan_default(void); /* rtn */
/* Sets the order from names, composed left to right. Refused: an unknown name, a method twice, two methods
 * that round, a fold after a method that rounds. */
gpt2q_status method_plan_parse(struct method_plan *p, const char *const *names, size_t n, gpt2q_error *err);
/* Whether the plan needs inputs of the model. */
bool method_plan_needs_text(const struct method_plan *p);
#define METHOD_TEXT_MAX 256 /* the longest plan, with all digits of its numbers */
/* Writes "awq gptq damp=0.01 ..." with every option that matters, for the file's metadata. Numbers have as many
 * digits as the same plan needs to be made again. Returns text. */
const char *method_plan_print(const struct method_plan *p, char text[METHOD_TEXT_MAX]);
/* Whether such a text of a file names a method that folds factors into other tensors. */
bool method_text_folds(const char *text);
static inline bool method_plan_is_plain(const struct method_plan *p)
{
    return p->rounding == METHOD_RTN && !p->n_folds && p->static_percent == 0.0;
}
#endif
