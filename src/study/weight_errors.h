/* What quantization did to each tensor: a model's weights beside a reference's, and their histograms. */
#ifndef STUDY_WEIGHT_ERRORS_H
#define STUDY_WEIGHT_ERRORS_H
#include "study/folding.h"

struct weight_error {
    const char *name; /* lives as long as the reference */
    struct scheme scheme;
    size_t bytes;
    double bits;                  /* bytes in bits, by weight */
    double relative_error;        /* |W - W'| over |W|, Frobenius norms; 0 where both are 0 */
    double mean_error, max_error; /* of |w - w'| */
    double largest, peak;         /* of the reference: max |w|; max |w| over the root mean square */
};
/* One for each tensor of the model, in checkpoint order. *out (n of them) is for mem_free. Both models
 * come from one checkpoint. What is folded into the model (NULL: nothing) is taken out of it first. */
gpt2q_status weight_errors(const gpt2q_model *reference, const gpt2q_model *model,
                           const struct folding *folded, struct weight_error **out, size_t *n,
                           gpt2q_error *err);

#define WEIGHT_BINS 96
struct weight_histogram {
    double lo, hi; /* ends of the values' bins */
    uint64_t values[WEIGHT_BINS];
    int n_codes;         /* 0: no integer codes */
    uint64_t codes[256]; /* from the least code on */
    uint64_t count, most_on_a_code;
    int codes_used;
    /* max |w - w'|, where w is the reference's; 0: both are equal, and all errors are in the middle */
    double reach;
    uint64_t errors[WEIGHT_BINS]; /* of w - w', over [-reach, reach] */
};
/* Counts the matrix `name`, with bins of values over [lo, hi]. Both models come from one checkpoint.
 * Returns false if one has no such matrix. */
bool weight_histogram(const gpt2q_model *reference, const gpt2q_model *model, const char *name, double lo,
                      double hi, struct weight_histogram *out);
#endif
