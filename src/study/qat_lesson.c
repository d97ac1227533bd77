#include "study/qat_lesson.h"
#include <math.h>
#include <string.h>

#define INPUTS 32
#define TOP    ((1 << QAT_BITS) - 1)

const char *const qat_loop_names[QAT_LOOPS] = {"notes", "gradient", "grid", "right"};

struct layer {
    const struct explain_input *input;
    enum qat_loop loop;
    double x[INPUTS][EXPLAIN_SIDE_MAX], y[INPUTS][EXPLAIN_SIDE_MAX];
    double w[EXPLAIN_SIDE_MAX][EXPLAIN_SIDE_MAX];      /* latent */
    double landed[EXPLAIN_SIDE_MAX][EXPLAIN_SIDE_MAX]; /* w' */
    double scale, zero;
};

static void make_inputs(const struct explain_input *in, double x[INPUTS][EXPLAIN_SIDE_MAX])
{
    uint64_t s = 1;
    for (int n = 0; n < INPUTS; n++)
        for (int k = 0; k < in->cols; k++) {
            s = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            x[n][k] = (double)in->x[k] * ((double)(s >> 40) / 16777216.0);
        }
}

static double output(const double *w, const double *x, int n)
{
    double sum = 0.0;
    for (int k = 0; k < n; k++) sum += w[k] * x[k];
    return sum;
}

static void recalibrate(struct layer *l)
{
    double least = 0.0, most = 0.0;
    for (int r = 0; r < l->input->rows; r++)
        for (int k = 0; k < l->input->cols; k++) {
            least = fmin(least, l->w[r][k]);
            most = fmax(most, l->w[r][k]);
        }
    l->scale = (most - least) / TOP;
    if (!(l->scale > 0.0)) l->scale = 1.0;
    l->zero = rint(-least / l->scale);
}

static bool has_grid(enum qat_loop loop) { return loop == QAT_GRID || loop == QAT_RIGHT; }

static double code_of(const struct layer *l, double w)
{
    const double q = rint(w / l->scale);
    return has_grid(l->loop) ? fmin(fmax(q + l->zero, 0.0), TOP) : q;
}

/* What the gradient of w' is multiplied by. */
static double slope(const struct layer *l, double w)
{
    if (l->loop == QAT_NOTES || l->loop == QAT_GRID) return 0.0;
    return l->loop == QAT_GRADIENT || code_of(l, w) == rint(w / l->scale) + l->zero ? 1.0 : 0.0;
}

/* The loss, and the gradient of the latent weights. */
static double look(struct layer *l, double gradient[EXPLAIN_SIDE_MAX][EXPLAIN_SIDE_MAX])
{
    const int rows = l->input->rows, cols = l->input->cols;
    double loss = 0.0;
    memset(gradient, 0, sizeof(double[EXPLAIN_SIDE_MAX][EXPLAIN_SIDE_MAX]));
    for (int r = 0; r < rows; r++) {
        for (int k = 0; k < cols; k++) l->landed[r][k] = (code_of(l, l->w[r][k]) - l->zero) * l->scale;
        for (int n = 0; n < INPUTS; n++) {
            const double e = output(l->landed[r], l->x[n], cols) - l->y[n][r];
            loss += e * e / (INPUTS * rows);
            for (int k = 0; k < cols; k++) gradient[r][k] += 2.0 * e * l->x[n][k] / (INPUTS * rows);
        }
        for (int k = 0; k < cols; k++) gradient[r][k] *= slope(l, l->w[r][k]);
    }
    return loss;
}

double qat_rate(const struct explain_input *input)
{
    double x[INPUTS][EXPLAIN_SIDE_MAX], trace = 0.0;
    make_inputs(input, x);
    for (int n = 0; n < INPUTS; n++)
        for (int k = 0; k < input->cols; k++) trace += x[n][k] * x[n][k];
    return trace > 0.0 ? 0.1 * INPUTS * input->rows / trace : 0.0;
}

void qat_train(const struct explain_input *input, enum qat_loop loop, double rate, struct qat_curve *out)
{
    static _Thread_local struct layer l;
    static _Thread_local double gradient[EXPLAIN_SIDE_MAX][EXPLAIN_SIDE_MAX];
    const int rows = input->rows, cols = input->cols;
    l.input = input;
    l.loop = loop;
    make_inputs(input, l.x);
    for (int r = 0; r < rows; r++) {
        double *w = l.w[r];
        for (int k = 0; k < cols; k++) w[k] = (double)input->W[r][k];
        for (int n = 0; n < INPUTS; n++) l.y[n][r] = output(w, l.x[n], cols);
        for (int k = 0; k < cols; k++) w[k] = 0.5 * (double)input->W[r][cols - 1 - k];
    }
    for (int step = 0; step <= QAT_STEPS; step++) {
        const double falling = rate * (QAT_STEPS - step) / QAT_STEPS;
        double square = 0.0;
        if (step % QAT_EVERY == 0) recalibrate(&l);
        out->losses[step] = look(&l, gradient);
        for (int r = 0; r < rows; r++)
            for (int k = 0; k < cols; k++) {
                square += gradient[r][k] * gradient[r][k];
                if (step < QAT_STEPS) l.w[r][k] -= falling * gradient[r][k];
            }
        out->gradients[step] = sqrt(square);
    }
    out->scale = l.scale;
    out->zero = l.zero;
    for (int r = 0; r < rows; r++)
        for (int k = 0; k < cols; k++) out->codes[r * cols + k] = (int)code_of(&l, l.w[r][k]);
}
