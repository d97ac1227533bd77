/* What the tests of products share: a weight whose codes end at a guard page, its input, a product, and
 * codes of a token made by formulas written out here. */
#ifndef TESTS_PRODUCTS_H
#define TESTS_PRODUCTS_H
#include "qtensor/isa.h"
#include "qtensor/qinput.h"
#include "qtensor/quantize.h"

struct scheme scheme_of(const char *spec);
/* Whether a scheme's group divides cols. */
bool scheme_fits(struct scheme s, int cols);

struct weight {
    struct qtensor w;
    uint8_t *guarded;
    size_t guarded_bytes;
};
struct weight weight_from(const float *m, struct scheme s, int rows, int cols); /* m (rows, cols) */
struct weight weight_create(const char *spec, int rows, int cols, uint64_t seed);
void weight_free(struct weight *w);

/* n rows that end at a guard page, for guard_free. */
float *input_create(int n, size_t stride, uint64_t seed);

/* Computes the panels [p0, p1) for all n rows of x, or for the rows [begin, end) of them. y is row 0,
 * output 0. */
void product(const struct isa *isa, const struct qtensor *w, enum activations kind, const float *x,
             size_t stride, int n, float *y, size_t y_stride, int p0, int p1);
void product_of_rows(const struct isa *isa, const struct qtensor *w, enum activations kind, const float *x,
                     size_t stride, int n, int begin, int end, float *y, size_t y_stride, int p0, int p1);
/* The last kind of activations that the weight's scheme takes. */
enum activations last_kind(const struct qtensor *w);

/* The code of output o and input k; test_quantize compares the layouts with what qtensor.h states. */
int code_at(const struct qtensor *w, int o, int k);
/* The codes of one token as the goldens make them. Returns the scale. */
float token_codes(const float *x, int n, int qmax, int *codes);
#endif
