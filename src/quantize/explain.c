/* With zero points, sum (w - zw)(x - zx) = sum w x - zx sum w - zw sum x + n zw zx over codes. So a
 * product needs only codes and their sums. The notes subtract sums of the unquantized values instead. That
 * needs the weights that quantization was meant to replace. Both ways are computed here for comparison. */
#include "quantize/explain.h"
#include "base/json.h"
#include "quantize/parameters.h"
#include "qtensor/isa.h"
#include "qtensor/quantize.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const explain_names[EXPLAIN_COUNT] = {"absmax", "minmax", "affine"};

const struct explain_input explain_example = {
    .rows = 3,
    .cols = 5,
    .W = {{0, -0.2934f, -2.1788f, 0.5684f, -1.0845f},
          {-1.3986f, 0.4033f, 0.8380f, -0.7193f, -0.4033f},
          {-0.5966f, 0.1820f, -0.8567f, 1.1006f, -1.0712f}},
    .x = {0, -0.5663f, 0.3731f, -0.8920f, -1.5091f},
};

/* ---- input ---- */

static gpt2q_status read_numbers(const cJSON *array, const char *what, const char *name, float *out, int *n,
                                 gpt2q_error *err)
{
    *n = cJSON_IsArray(array) ? cJSON_GetArraySize(array) : 0;
    if (*n < 1 || *n > EXPLAIN_SIDE_MAX)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: %s is not a list of 1 to %d numbers", name, what,
                         EXPLAIN_SIDE_MAX);
    for (const cJSON *item = array->child; item; item = item->next) {
        *out = (float)item->valuedouble;
        if (!cJSON_IsNumber(item) || !isfinite(*out++))
            return error_set(err, GPT2Q_INVALID_ARGUMENT,
                             "%s: %s holds something other than numbers of float32", name, what);
    }
    return GPT2Q_OK;
}

static gpt2q_status read_matrix(const cJSON *rows, const char *name, struct explain_input *out,
                                gpt2q_error *err)
{
    out->rows = cJSON_IsArray(rows) ? cJSON_GetArraySize(rows) : 0;
    if (out->rows < 1 || out->rows > EXPLAIN_SIDE_MAX)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: W is not a list of 1 to %d rows", name,
                         EXPLAIN_SIDE_MAX);
    int r = 0;
    for (const cJSON *row = rows->child; row; row = row->next, r++) {
        char what[24];
        int n;
        snprintf(what, sizeof what, "row %d of W", r);
        gpt2q_status s = read_numbers(row, what, name, out->W[r], &n, err);
        if (s) return s;
        if (r && n != out->cols)
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: %s has %d numbers, the rows before have %d",
                             name, what, n, out->cols);
        out->cols = n;
    }
    return GPT2Q_OK;
}

static gpt2q_status check_keys(const cJSON *root, const char *name, gpt2q_error *err)
{
    static const char *const keys[] = {"W", "x"};
    if (!cJSON_IsObject(root))
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: an object {\"W\": [[..], ..], \"x\": [..]} is expected", name);
    for (const cJSON *item = root->child; item; item = item->next) {
        const char *near = NULL;
        bool known = false;
        for (int k = 0; k < 2; k++) {
            known |= !strcmp(item->string, keys[k]);
            if (!strcasecmp(item->string, keys[k])) near = keys[k];
        }
        if (known) continue;
        if (near)
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: unknown key \"%.60s\": did you mean \"%s\"?",
                             name, item->string, near);
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: unknown key \"%.60s\": the keys are \"W\" and \"x\"", name, item->string);
    }
    return GPT2Q_OK;
}

gpt2q_status explain_parse(const char *text, size_t n, const char *name, struct explain_input *out,
                           gpt2q_error *err)
{
    cJSON *root;
    int length = 0;
    *out = (struct explain_input){0};
    gpt2q_status s = json_parse(text, n, name, &root, err);
    if (s) return s;
    s = check_keys(root, name, err);
    if (!s) s = read_matrix(cJSON_GetObjectItemCaseSensitive(root, "W"), name, out, err);
    if (!s) s = read_numbers(cJSON_GetObjectItemCaseSensitive(root, "x"), "x", name, out->x, &length, err);
    if (!s && length != out->cols)
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: x has %d numbers, the rows of W have %d", name,
                      length, out->cols);
    cJSON_Delete(root);
    return s;
}

/* ---- quantizing ---- */

/* Quantizes rows x cols numbers, `stride` apart: codes, scale, zero point, and the mean error. */
static gpt2q_status quantize(const float *values, int rows, int cols, enum explain_method method,
                             int codes[][EXPLAIN_SIDE_MAX], double *scale, double *zero, double *mean_error,
                             gpt2q_error *err)
{
    static const enum qgrid grids[EXPLAIN_COUNT] = {QGRID_ABSMAX, QGRID_MINMAX, QGRID_AFFINE};
    const struct scheme scheme = {.format = QF_I8, .gran = QG_TENSOR, .grid = grids[method]};
    const struct qsource src = {.name = "W",
                                .dtype = DT_F32,
                                .data = values,
                                .rows = rows,
                                .cols = cols,
                                .row_stride = EXPLAIN_SIDE_MAX,
                                .col_stride = 1};
    struct qtensor w;
    float s, z, row[EXPLAIN_SIDE_MAX];
    gpt2q_status status = qtensor_quantize(&src, scheme, &(struct quantize_run){.n_threads = 1}, &w, err);
    if (status) return status;
    parameter_counted(&w, 0, &s, &z);
    *scale = (double)s, *zero = (double)z, *mean_error = 0;
    for (int r = 0; r < rows; r++) {
        isa_at(0)->formats[QF_I8].dequantize_row(&w, r, row);
        for (int k = 0; k < cols; k++) {
            codes[r][k] = qtensor_code(&w, r, k);
            *mean_error += fabs((double)values[r * EXPLAIN_SIDE_MAX + k] - (double)row[k]) / (rows * cols);
        }
    }
    qtensor_free(&w);
    return GPT2Q_OK;
}

/* ---- products ---- */

void explain_product(const struct explain_input *input, double product[EXPLAIN_SIDE_MAX])
{
    for (int r = 0; r < input->rows; r++) {
        product[r] = 0;
        for (int k = 0; k < input->cols; k++) product[r] += (double)input->W[r][k] * (double)input->x[k];
    }
}

static void multiply_row(const struct explain_input *in, int r, struct explanation *e)
{
    int64_t row_codes = 0, x_codes = 0;
    double row_values = 0, x_values = 0, s = e->W_scale * e->x_scale, n = in->cols;
    e->sums[r] = 0;
    for (int k = 0; k < in->cols; k++) {
        e->sums[r] += (int64_t)e->W_codes[r][k] * e->x_codes[k];
        row_codes += e->W_codes[r][k];
        x_codes += e->x_codes[k];
        row_values += (double)in->W[r][k];
        x_values += (double)in->x[k];
    }
    e->int8_sums[r] = (int)(((e->sums[r] % 256) + 384) % 256) - 128;
    double codes = (double)e->sums[r];
    e->product[r] =
        s * (codes - e->x_zero * (double)row_codes - e->W_zero * (double)x_codes + n * e->W_zero * e->x_zero);
    e->product_notes[r] = s * codes - e->x_zero * e->x_scale * row_values -
                          e->W_zero * e->W_scale * x_values - s * n * e->W_zero * e->x_zero;
}

gpt2q_status explain(const struct explain_input *input, enum explain_method method, struct explanation *out,
                     gpt2q_error *err)
{
    double product[EXPLAIN_SIDE_MAX];
    *out = (struct explanation){0};
    gpt2q_status s = quantize(&input->W[0][0], input->rows, input->cols, method, out->W_codes, &out->W_scale,
                              &out->W_zero, &out->W_mean_error, err);
    if (!s)
        s = quantize(input->x, 1, input->cols, method, &out->x_codes, &out->x_scale, &out->x_zero,
                     &out->x_mean_error, err);
    if (s) return s;
    explain_product(input, product);
    for (int r = 0; r < input->rows; r++) {
        multiply_row(input, r, out);
        out->mean_error += fabs(out->product[r] - product[r]) / input->rows;
        out->mean_error_notes += fabs(out->product_notes[r] - product[r]) / input->rows;
    }
    return GPT2Q_OK;
}
