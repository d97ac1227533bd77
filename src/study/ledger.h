/* The ledger of errors: how far a model is from a reference on the same text, for every named intermediate
 * of the forward pass. There are two readings. ACCUMULATED: the model runs as it is, so an error holds all
 * earlier errors as well. LOCAL: after an intermediate is compared, the reference's takes its place. So
 * every part gets the reference's input, and the error is its own. */
#ifndef STUDY_LEDGER_H
#define STUDY_LEDGER_H
#include "study/folding.h"
#include "study/reader.h"

enum ledger_reading { LEDGER_ACCUMULATED, LEDGER_LOCAL, LEDGER_READINGS };
const char *ledger_reading_name(enum ledger_reading reading);

struct ledger_line {
    char name[48];
    double reference, model, product, difference; /* sums of squares, of products, of squared differences */
};
struct ledger {
    struct ledger_line *lines; /* in the order of the pass */
    size_t n;
};
/* |x - r| / |r|; 0 if both are 0, infinite if only r is. */
double ledger_relative_error(const struct ledger_line *l);
/* NaN if one of the two is 0. */
double ledger_cosine(const struct ledger_line *l);
/* 20 log10(|r| / |x - r|); infinite if they are equal. */
double ledger_snr_db(const struct ledger_line *l);

struct ledger_params {
    const gpt2q_model *reference, *model;
    const char *reference_activations;
    const struct folding *folded; /* into the model: taken out where intermediates meet. NULL: nothing */
    struct reader_params reader;  /* for the model; window and tile are chosen here */
    const struct windows *windows;
    const struct progress *progress;
};
/* *out is for ledger_free, in any case. */
gpt2q_status ledger_run(const struct ledger_params *p, enum ledger_reading reading, struct ledger *out,
                        gpt2q_error *err);
void ledger_free(struct ledger *l);
#endif
