#include "methods/lesson.h"
#include "base/memory.h"
#include "methods/awq.h"
#include "methods/rounding.h"
#include "methods/square.h"
#include "qtensor/dequantize.h"
#include "qtensor/isa.h"
#include "qtensor/levels.h"
#include "qtensor/quantize.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIDE EXPLAIN_SIDE_MAX

/* ---- lines ---- */

static void add(struct lesson *l, const char *label, const double *values, int n, bool whole)
{
    if (l->n == l->capacity) {
        const size_t bytes = l->capacity * sizeof *l->lines;
        struct lesson_line *more = mem_grow(l->lines, bytes, bytes + 64 * sizeof *more);
        if (!more) {
            l->out_of_memory = true;
            return;
        }
        l->lines = more;
        l->capacity += 64;
    }
    struct lesson_line *line = &l->lines[l->n++];
    snprintf(line->label, sizeof line->label, "%s", label);
    line->n = n;
    line->whole = whole;
    if (n) memcpy(line->values, values, (size_t)n * sizeof *values);
}

static void say(struct lesson *l, const char *text) { add(l, text, NULL, 0, false); }

void lesson_free(struct lesson *l)
{
    mem_free(l->lines);
    *l = (struct lesson){0};
}

/* The product with x. */
static void add_product(struct lesson *l, const struct explain_input *in, double w[][SIDE])
{
    double y[SIDE] = {0}, exact[SIDE], error = 0;
    explain_product(in, exact);
    for (int r = 0; r < in->rows; r++) {
        for (int k = 0; k < in->cols; k++) y[r] += w[r][k] * (double)in->x[k];
        error += fabs(y[r] - exact[r]) / in->rows;
    }
    add(l, "W @ x", exact, in->rows, false);
    add(l, "W' @ x", y, in->rows, false);
    add(l, "mean error of the product", &error, 1, false);
}

static void add_rows(struct lesson *l, const char *label, double w[][SIDE], int rows, int cols, bool whole)
{
    for (int r = 0; r < rows; r++) {
        char text[96];
        snprintf(text, sizeof text, "%s, output %d", label, r);
        add(l, text, w[r], cols, whole);
    }
}

/* ---- gptq ---- */

struct gptq_lesson {
    double w[SIDE][SIDE], result[SIDE][SIDE], codes[SIDE][SIDE], u[SIDE][SIDE];
    struct code_range range[SIDE];
    int32_t order[SIDE];
};

static const struct code_scheme four_bits = {.grid = GRID_AFFINE, .bits = 4, .half = false};

static double code_of(const struct code_range *r, double w)
{
    return fmin(fmax(rint(w / r->divisor) + r->zero, 0.0), 15.0);
}

static void sort_by_diagonal(const struct square *h, int32_t *order)
{
    for (int i = 0; i < h->n; i++) {
        int k = i;
        for (; k && square_row(h, order[k - 1])[order[k - 1]] < square_row(h, i)[i]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
}

static void choose_ranges(struct lesson *l, const struct explain_input *in, struct gptq_lesson *g)
{
    double scales[SIDE], zeros[SIDE];
    for (int r = 0; r < in->rows; r++) {
        double least = g->w[r][0], most = least;
        for (int k = 1; k < in->cols; k++) least = fmin(least, g->w[r][k]), most = fmax(most, g->w[r][k]);
        g->range[r] = code_range_choose(&four_bits, least, most);
        scales[r] = g->range[r].scale, zeros[r] = g->range[r].zero;
    }
    add(l, "scale of each output, (max - min)/15", scales, in->rows, false);
    add(l, "zero point, round(-min/s)", zeros, in->rows, true);
}

static void push_on(struct lesson *l, const struct explain_input *in, struct gptq_lesson *g)
{
    double error[SIDE], row[SIDE];
    char label[96];
    for (int k = 0; k < in->cols; k++) {
        const int j = g->order[k];
        for (int r = 0; r < in->rows; r++) {
            row[r] = g->w[r][j];
            g->codes[r][j] = code_of(&g->range[r], row[r]);
            g->result[r][j] = (g->codes[r][j] - g->range[r].zero) * g->range[r].scale;
            error[r] = (row[r] - g->result[r][j]) / g->u[k][k];
            for (int i = k + 1; i < in->cols; i++) g->w[r][g->order[i]] -= error[r] * g->u[k][i];
        }
        snprintf(label, sizeof label, "input %d: weights as they are by now", j);
        add(l, label, row, in->rows, false);
        for (int r = 0; r < in->rows; r++) row[r] = g->codes[r][j];
        add(l, "  their codes", row, in->rows, true);
        add(l, "  error / U_kk, pushed on", error, in->rows, false);
    }
}

static double loss(const struct explain_input *in, const struct square *h, double w[][SIDE])
{
    double sum = 0;
    for (int r = 0; r < in->rows; r++)
        for (int i = 0; i < in->cols; i++)
            for (int j = 0; j < in->cols; j++)
                sum +=
                    ((double)in->W[r][i] - w[r][i]) * square_row(h, i)[j] * ((double)in->W[r][j] - w[r][j]);
    return sum;
}

static gpt2q_status hessian(const struct explain_input *in, struct square *h, gpt2q_error *err)
{
    gpt2q_status s = square_create(h, in->cols, err);
    for (int i = 0; i < in->cols && !s; i++)
        for (int j = 0; j < in->cols; j++) square_row(h, i)[j] = 2.0 * (double)in->x[i] * (double)in->x[j];
    return s;
}

static void begin_gptq(struct lesson *l, const struct explain_input *in, const struct square *h,
                       struct gptq_lesson *g)
{
    double order[SIDE];
    say(l, "GPTQ to 4 bits, affine, one scale an output: later inputs carry the errors of earlier ones");
    for (int i = 0; i < in->cols; i++) {
        char label[96];
        snprintf(label, sizeof label, "H = 2/N sum of x x^T (here N = 1), row %d", i);
        add(l, label, square_row(h, i), in->cols, false);
    }
    for (int r = 0; r < in->rows; r++)
        for (int k = 0; k < in->cols; k++)
            g->w[r][k] = square_row(h, k)[k] == 0.0 ? 0.0 : (double)in->W[r][k];
    sort_by_diagonal(h, g->order);
    for (int k = 0; k < in->cols; k++) order[k] = g->order[k];
    add(l, "order: a falling diagonal of H", order, in->cols, true);
}

static gpt2q_status run_gptq(struct lesson *l, const struct explain_input *in, const struct workers *w,
                             const struct square *h, struct gptq_lesson *g, gpt2q_error *err)
{
    struct square damped, u;
    bool positive;
    double mean = 0;
    gpt2q_status s = hessian(in, &damped, err);
    if (s) return s;
    begin_gptq(l, in, h, g);
    for (int i = 0; i < in->cols; i++) {
        if (square_row(&damped, i)[i] == 0.0)
            square_row(&damped, i)[i] = 1.0; /* an input that never occurs */
        mean += square_row(&damped, i)[i] / in->cols;
    }
    s = inverse_factor(w, &damped, 0.01 * mean, g->order, &u, &positive, err);
    square_free(&damped);
    if (!s && !positive) s = error_set(err, GPT2Q_UNSUPPORTED, "H has no factor");
    if (s) return s;
    for (int k = 0; k < in->cols; k++) memcpy(g->u[k], square_row(&u, k), (size_t)in->cols * sizeof(double));
    square_free(&u);
    for (int k = 0; k < in->cols; k++) {
        char label[96];
        snprintf(label, sizeof label, "U in that order, (H + 1 %% of its mean diagonal)^-1 = U^T U, row %d",
                 k);
        add(l, label, g->u[k], in->cols, false);
    }
    choose_ranges(l, in, g);
    double rtn[SIDE][SIDE];
    for (int r = 0; r < in->rows; r++)
        for (int k = 0; k < in->cols; k++)
            rtn[r][k] = (code_of(&g->range[r], g->w[r][k]) - g->range[r].zero) * g->range[r].scale;
    push_on(l, in, g);
    add_rows(l, "codes", g->codes, in->rows, in->cols, true);
    add_rows(l, "W'", g->result, in->rows, in->cols, false);
    const double losses[2] = {loss(in, h, rtn), loss(in, h, g->result)};
    add(l, "loss e H e^T: by rounding, by GPTQ", losses, 2, false);
    add_product(l, in, g->result);
    return GPT2Q_OK;
}

static gpt2q_status teach_gptq(struct lesson *l, const struct explain_input *in, const struct workers *w,
                               gpt2q_error *err)
{
    struct square h;
    struct gptq_lesson *g = mem_zalloc(sizeof *g);
    if (!g) return error_memory(err, "a lesson", sizeof *g);
    gpt2q_status s = hessian(in, &h, err);
    if (!s) s = run_gptq(l, in, w, &h, g, err);
    square_free(&h);
    mem_free(g);
    return s;
}

/* ---- awq, hqq ---- */

static void flat_weights(const struct explain_input *in, float *w)
{
    for (int r = 0; r < in->rows; r++)
        memcpy(w + (size_t)r * (size_t)in->cols, in->W[r], (size_t)in->cols * sizeof *w);
}

static gpt2q_status teach_awq(struct lesson *l, const struct explain_input *in, const struct workers *w,
                              gpt2q_error *err)
{
    static const char *const title =
        "AWQ to 4 bits, affine: s = max(mean|x|^r, 1e-4), normalized; W s is rounded, x / s undoes it";
    struct square h;
    struct awq_report report;
    float weights[SIDE * SIDE];
    double mean[SIDE], scale[SIDE], result[SIDE][SIDE], codes[SIDE][SIDE], step;
    struct code_scheme c = four_bits;
    c.group = in->cols;
    gpt2q_status s = hessian(in, &h, err);
    if (s) return s;
    flat_weights(in, weights);
    for (int k = 0; k < in->cols; k++) mean[k] = fabs((double)in->x[k]);
    s = awq_scale(w, weights, in->rows, in->cols, &h, mean, &c, scale, &report, err);
    square_free(&h);
    if (s) return s;
    say(l, title);
    add(l, "mean |x| of each input", mean, in->cols, false);
    add(l, "loss for r = 0, 0.05 .. 0.95", report.losses, AWQ_STEPS, false);
    step = report.step / (double)AWQ_STEPS;
    add(l, "the best r", &step, 1, false);
    add(l, "s", scale, in->cols, false);
    for (int r = 0; r < in->rows; r++) {
        double least = INFINITY, most = -INFINITY;
        for (int k = 0; k < in->cols; k++) {
            least = fmin(least, (double)in->W[r][k] * scale[k]);
            most = fmax(most, (double)in->W[r][k] * scale[k]);
        }
        const struct code_range range = code_range_choose(&c, least, most);
        for (int k = 0; k < in->cols; k++) {
            codes[r][k] = code_of(&range, (double)in->W[r][k] * scale[k]);
            result[r][k] = (codes[r][k] - range.zero) * range.scale / scale[k];
        }
    }
    add_rows(l, "codes of W s", codes, in->rows, in->cols, true);
    add_rows(l, "W' = what they stand for, / s", result, in->rows, in->cols, false);
    add_product(l, in, result);
    return GPT2Q_OK;
}

static gpt2q_status teach_hqq(struct lesson *l, const struct explain_input *in, const struct workers *w,
                              gpt2q_error *err)
{
    static struct hqq_report report;
    struct coded c;
    float weights[SIDE * SIDE];
    double values[SIDE], result[SIDE][SIDE], codes[SIDE][SIDE];
    flat_weights(in, weights);
    gpt2q_status s = hqq_run(w, weights, in->rows, in->cols, (struct scheme){.format = QF_I4}, 4, in->cols,
                             20, &c, &report, err);
    if (s) return s;
    say(l, "HQQ to 4 bits, a group an output: the scale stays, the zero moves until the mean error stops "
           "falling");
    add(l, "mean |w - w'| of each repetition", report.mean_errors, report.repetitions, false);
    for (int r = 0; r < in->rows; r++) values[r] = (double)c.scale[r];
    add(l, "scale of each output (float16)", values, in->rows, false);
    for (int r = 0; r < in->rows; r++) values[r] = (double)c.zero[r];
    add(l, "zero, not whole (float16)", values, in->rows, false);
    for (int r = 0; r < in->rows; r++)
        for (int k = 0; k < in->cols; k++) {
            codes[r][k] = c.codes[r * in->cols + k];
            result[r][k] = (codes[r][k] - (double)c.zero[r]) * (double)c.scale[r];
        }
    coded_free(&c);
    add_rows(l, "codes", codes, in->rows, in->cols, true);
    add_rows(l, "W' = (code - zero) scale", result, in->rows, in->cols, false);
    add_product(l, in, result);
    return GPT2Q_OK;
}

/* ---- formats of levels, as the quantizer makes them ---- */

static const struct {
    const char *name, *title;
} level_lessons[] = {
    {"nf4",
     "NF4: 16 levels where a normal distribution has its weights, times the largest magnitude of a block"},
    {"fp8", "FP8 e4m3: a float of 4 bits of exponent and 3 of mantissa, times a scale of each output"},
    {"mxfp4", "MXFP4: floats of 4 bits, times a power of two for each 32 inputs, 2^(floor(log2 max|w|) - 2)"},
    {"nvfp4",
     "NVFP4: floats of 4 bits, times an e4m3 float for each 16 inputs, times one factor of the tensor"},
};

/* The title of a lesson; NULL: there is none of this name. */
static const char *level_title(const char *name)
{
    for (size_t i = 0; i < sizeof level_lessons / sizeof *level_lessons; i++)
        if (!strcmp(name, level_lessons[i].name)) return level_lessons[i].title;
    return NULL;
}

static void add_levels(struct lesson *l, const struct explain_input *in, const struct qtensor *w)
{
    double levels[BOOK_LEVELS], scales[SIDE][SIDE], codes[SIDE][SIDE], near[SIDE][SIDE], result[SIDE][SIDE];
    const enum qformat format = w->scheme.format;
    const int group = w->scheme.gran == QG_GROUP ? w->scheme.group : w->cols;
    for (int i = 0; i < BOOK_LEVELS && scheme_bits(w->scheme) == 4; i++)
        levels[i] = (double)format_level(format, i);
    if (scheme_bits(w->scheme) == 4) add(l, "levels", levels, BOOK_LEVELS, false);
    for (int r = 0; r < in->rows; r++)
        for (int k = 0; k < in->cols; k++) {
            const float s = qtensor_parameter(w, w->scale, qtensor_parameter_of(w, r, k));
            const int code = qtensor_stored_code(w, r, k);
            scales[r][k / group] = (double)s;
            codes[r][k] = code;
            near[r][k] = (double)format_level(format, code);
            result[r][k] = (double)(s * format_level(format, code));
        }
    const double factor = w->factor ? (double)*w->factor : 0;
    if (w->factor) add(l, "factor f of the tensor, max|w| / (6 * 448)", &factor, 1, false);
    add_rows(l, "scales s", scales, in->rows, (in->cols - 1) / group + 1, false);
    add_rows(l, "code: the number of the level nearest to w / s", codes, in->rows, in->cols, true);
    add_rows(l, "its level", near, in->rows, in->cols, false);
    add_rows(l, "W' = level s", result, in->rows, in->cols, false);
    add_product(l, in, result);
}

/* Blocks are filled up with zeros, which change no scale. */
static gpt2q_status teach_levels(struct lesson *l, const struct explain_input *in, const char *name,
                                 gpt2q_error *err)
{
    static const int cols = 64;
    struct scheme scheme;
    struct qtensor w;
    float *padded = mem_zarray((size_t)in->rows * (size_t)cols, sizeof *padded);
    if (!padded) return error_memory(err, "a matrix", (size_t)in->rows * (size_t)cols * sizeof *padded);
    for (int r = 0; r < in->rows; r++) memcpy(padded + r * cols, in->W[r], (size_t)in->cols * sizeof *padded);
    const struct qsource src = {"W", DT_F32, padded, in->rows, cols, (size_t)cols, 1};
    const struct quantize_run run = {.n_threads = 1, .isa = isa_at(0)};
    gpt2q_status s = scheme_parse(name, &scheme, err);
    if (!s) s = qtensor_quantize(&src, scheme, &run, &w, err);
    mem_free(padded);
    if (s) return s;
    say(l, level_title(name));
    add_levels(l, in, &w);
    qtensor_free(&w);
    return GPT2Q_OK;
}

/* ---- llm.int8 ---- */

static void teach_llm_int8(struct lesson *l, const struct explain_input *in, double threshold)
{
    double out[SIDE], codes[SIDE], w_codes[SIDE][SIDE], scale[SIDE], y[SIDE], part[SIDE], exact[SIDE],
        most = 0, error = 0;
    say(l, "LLM.int8(), by token: inputs of magnitude T and more leave the int8 product and meet the weights "
           "in float");
    add(l, "T", &threshold, 1, false);
    for (int k = 0; k < in->cols; k++) {
        out[k] = fabs((double)in->x[k]) >= threshold;
        if (out[k] == 0.0) most = fmax(most, fabs((double)in->x[k]));
    }
    double s = most / 127;
    for (int k = 0; k < in->cols; k++) codes[k] = out[k] != 0.0 || s == 0.0 ? 0 : rint((double)in->x[k] / s);
    add(l, "outliers of x", out, in->cols, true);
    add(l, "scale of the rest, max / 127", &s, 1, false);
    add(l, "codes of the rest", codes, in->cols, true);
    explain_product(in, exact);
    for (int r = 0; r < in->rows; r++) {
        double top = 0;
        for (int k = 0; k < in->cols; k++) top = fmax(top, fabs((double)in->W[r][k]));
        scale[r] = (double)(float)(top / 127);
        y[r] = part[r] = 0;
        for (int k = 0; k < in->cols; k++) {
            w_codes[r][k] = scale[r] > 0 ? rint((double)in->W[r][k] / scale[r]) : 0;
            y[r] += codes[k] * w_codes[r][k];
            if (out[k] != 0.0) part[r] += (double)in->x[k] * w_codes[r][k] * scale[r];
        }
        y[r] = y[r] * s * scale[r] + part[r];
        error += fabs(y[r] - exact[r]) / in->rows;
    }
    add_rows(l, "codes of W", w_codes, in->rows, in->cols, true);
    add(l, "what the outliers add, in float", part, in->rows, false);
    add(l, "y", y, in->rows, false);
    add(l, "W @ x", exact, in->rows, false);
    add(l, "mean error of the product", &error, 1, false);
}

/* ---- which ---- */

static gpt2q_status teach(struct lesson *l, const struct explain_input *in, const char *method,
                          gpt2q_error *err)
{
    struct crew crew;
    gpt2q_status s = crew_create(&crew, isa_at(0), 1, 1, 1, 16, err);
    if (s) return s;
    const struct workers w = {&crew, dense_ops_of(isa_at(0))};
    if (!strcmp(method, "gptq"))
        s = teach_gptq(l, in, &w, err);
    else if (!strcmp(method, "awq"))
        s = teach_awq(l, in, &w, err);
    else
        s = teach_hqq(l, in, &w, err);
    crew_free(&crew);
    return s;
}

gpt2q_status lesson_teach(const struct explain_input *input, const char *method, struct lesson *out,
                          gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    char *end = NULL;
    *out = (struct lesson){0};
    const bool llm = !strncmp(method, "llm.int8", 8) && (method[8] == ':' || !method[8]);
    const double threshold = llm && method[8] ? strtod(method + 9, &end) : 6.0;
    if (llm && !(end && (*end || end == method + 9 || !(threshold > 0))))
        teach_llm_int8(out, input, threshold);
    else if (level_title(method))
        s = teach_levels(out, input, method, err);
    else if (!strcmp(method, "gptq") || !strcmp(method, "awq") || !strcmp(method, "hqq"))
        s = teach(out, input, method, err);
    else
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "unknown method '%s': " LESSON_METHODS " is expected",
                      method);
    return !s && out->out_of_memory ? error_memory(err, "a lesson", sizeof *out->lines) : s;
}
