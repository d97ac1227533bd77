/* One tensor: its numbers, their distribution, and what a scheme makes of them. */
#include "app/inspect.h"
#include "app/tables.h"
#include "base/memory.h"
#include "base/nearest.h"
#include "quantize/parameters.h"
#include "quantize/quantizer.h"
#include "quantize/statistics.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CODES_SHOWN 16

struct view {
    const struct inventory_tensor *tensor;
    struct statistics statistics;
    struct scheme scheme;
    bool coded;                 /* there are codes, in: */
    const struct qtensor *w;    /* NULL: the notes' codes, in the checkpoint's order: */
    float *floats;              /* made of blocks or doubles */
    const struct quantized *of; /* the quantized tensor; NULL: as a .gpt2q file stores it */
};

/* ---- codes and scales ---- */

static size_t codes_shown(const struct view *v, int codes[CODES_SHOWN])
{
    size_t n = v->tensor->elements < CODES_SHOWN ? v->tensor->elements : CODES_SHOWN;
    for (size_t i = 0; i < n; i++)
        codes[i] = v->w ? qtensor_code(v->w, (int)(i / (size_t)v->w->cols), (int)(i % (size_t)v->w->cols))
                        : v->of->codes[i];
    return n;
}

static size_t count_owners(const struct view *v) { return v->w ? parameters_counted(v->w) : 1; }

static void owner(const struct view *v, size_t i, float *scale, float *zero)
{
    if (v->w)
        parameter_counted(v->w, i, scale, zero);
    else
        *scale = v->of->scale, *zero = v->of->min;
}

/* ---- JSON ---- */

static void add_statistics(cJSON *o, const struct statistics *s)
{
    cJSON_AddItemToObject(o, "min", json_real(s->min));
    cJSON_AddItemToObject(o, "max", json_real(s->max));
    cJSON_AddItemToObject(o, "mean", json_real(s->mean));
    cJSON_AddItemToObject(o, "std", json_real(s->std));
    cJSON_AddNumberToObject(o, "non_finite", (double)s->non_finite);
    cJSON *histogram = cJSON_AddObjectToObject(o, "histogram");
    cJSON *edges = cJSON_AddArrayToObject(histogram, "edges"),
          *counts = cJSON_AddArrayToObject(histogram, "counts");
    for (int i = 0; i <= HISTOGRAM_BINS; i++) cJSON_AddItemToArray(edges, json_real(statistics_edge(s, i)));
    for (int i = 0; i < HISTOGRAM_BINS; i++)
        cJSON_AddItemToArray(counts, cJSON_CreateNumber((double)s->counts[i]));
}

static void add_codes(cJSON *o, const struct view *v)
{
    int codes[CODES_SHOWN];
    size_t n_owners = count_owners(v), n = codes_shown(v, codes);
    cJSON *scales = cJSON_AddArrayToObject(o, "scale"), *zeros = cJSON_AddArrayToObject(o, "zero");
    for (size_t i = 0; i < n_owners; i++) {
        float scale, zero;
        owner(v, i, &scale, &zero);
        cJSON_AddItemToArray(scales, json_real((double)scale));
        cJSON_AddItemToArray(zeros, json_real((double)zero));
    }
    cJSON_AddItemToObject(o, "codes", cJSON_CreateIntArray(codes, (int)n));
}

static void print_json(const struct view *v)
{
    char scheme[SCHEME_TEXT_MAX];
    cJSON *o = inspect_tensor_json(v->tensor);
    add_statistics(o, &v->statistics);
    if (v->of) {
        cJSON_ReplaceItemInObject(o, "scheme", cJSON_CreateString(scheme_print(v->scheme, scheme)));
        cJSON_ReplaceItemInObject(o, "bytes", cJSON_CreateNumber((double)v->of->bytes_after));
        cJSON_AddItemToObject(o, "relative_error", json_real(v->of->errors.relative_error));
        cJSON_AddItemToObject(o, "mean_error", json_real(v->of->errors.mean_error));
        cJSON_AddItemToObject(o, "max_error", json_real(v->of->errors.max_error));
        cJSON_AddItemToObject(o, "clipped", json_real(v->of->errors.clipped));
    }
    if (v->coded) add_codes(o, v);
    json_print(o);
}

/* ---- text ---- */

static void print_histogram(const struct statistics *s)
{
    enum { WIDTH = 56 };
    uint64_t most = 1;
    for (int i = 0; i < HISTOGRAM_BINS; i++) most = s->counts[i] > most ? s->counts[i] : most;
    for (int i = 0; i < HISTOGRAM_BINS && s->n > s->non_finite; i++) {
        int length = (int)((double)s->counts[i] / (double)most * WIDTH + 0.5);
        printf("%12.5g ", (statistics_edge(s, i) + statistics_edge(s, i + 1)) / 2);
        for (int j = 0; j < length; j++) fputs("\u2588", stdout);
        printf("%s%" PRIu64 "\n", length ? " " : "", s->counts[i]);
    }
}

static void print_codes(const struct view *v)
{
    int codes[CODES_SHOWN];
    float scale, zero;
    size_t n_owners = count_owners(v), n = codes_shown(v, codes);
    printf("codes begin");
    for (size_t i = 0; i < n; i++) printf("%s%d", i == CODES_SHOWN / 2 ? "\n            " : " ", codes[i]);
    printf("\n%zu scale%s", n_owners, n_owners == 1 ? "" : "s, beginning");
    for (size_t i = 0; i < n_owners && i < 4; i++) {
        owner(v, i, &scale, &zero);
        printf(" %.9g", (double)scale);
    }
    owner(v, 0, &scale, &zero);
    printf("\nzero%s %.9g\n", n_owners == 1 ? "" : "s, beginning", (double)zero);
}

static void print_view(const struct view *v)
{
    char shape[SHAPE_TEXT], bytes[COUNT_TEXT], scheme[SCHEME_TEXT_MAX];
    const struct inventory_tensor *t = v->tensor;
    const struct statistics *s = &v->statistics;
    inspect_print_shape(t, shape);
    print_escaped(t->name, strlen(t->name));
    printf(": %s, %s, %s bytes\n", shape, t->dtype, print_count(t->bytes, bytes));
    printf("min %.8g  max %.8g  mean %.8g  std %.8g", s->min, s->max, s->mean, s->std);
    if (s->non_finite) printf("  not finite: %" PRIu64, s->non_finite);
    printf("\n\n");
    print_histogram(s);
    if (v->of || v->coded) printf("\n%s", scheme_print(v->scheme, scheme));
    if (v->of)
        printf(": %s bytes\nrelative error %.6g, mean %.6g, largest %.6g, clipped %.4f %%",
               print_count(v->of->bytes_after, bytes), v->of->errors.relative_error, v->of->errors.mean_error,
               v->of->errors.max_error, 100 * v->of->errors.clipped);
    if (v->of || v->coded) putchar('\n');
    if (v->coded) print_codes(v);
}

/* ---- making the view ---- */

static int show(struct view *v, const struct numbers *numbers, bool json)
{
    gpt2q_error err;
    if (statistics_take(numbers, &v->statistics, &err)) return failed(&err);
    if (json)
        print_json(v);
    else
        print_view(v);
    return EXIT_DONE;
}

/* A tensor of a .gpt2q file: the weights that its codes stand for. */
static int show_stored(const struct inventory *inventory, struct view *v, bool json)
{
    struct gpt2_weights w = inventory->weights;
    struct numbers numbers = {0};
    const struct inventory_tensor *t = v->tensor;
    v->scheme = t->scheme;
    if (weight_is_matrix(t->id.part)) {
        numbers.w = v->w = weight_matrix(&w, t->id);
        numbers.rows = v->w->rows, numbers.cols = v->w->cols;
        v->coded = scheme_has_codes(v->scheme);
    } else {
        numbers.values = *weight_floats(&w, t->id);
        numbers.cols = (int)t->shape[t->n_dims - 1],
        numbers.rows = (int)(t->elements / (uint64_t)numbers.cols);
    }
    return show(v, &numbers, json);
}

/* In a scheme. The notes' codes are in the checkpoint's order, all others are (outputs, inputs). */
static int show_quantized(struct view *v, const struct numbers *numbers, const struct quantize_run *run,
                          bool json)
{
    gpt2q_error err;
    struct quantized q;
    struct qsource src;
    const bool notes = scheme_is_notes(v->scheme);
    inventory_source(v->tensor, !notes, v->floats, &src);
    if (quantized_create(&src, v->scheme, !notes, run, &q, &err)) return failed(&err);
    v->of = &q;
    v->w = notes ? NULL : &q.matrix;
    v->coded = scheme_has_codes(v->scheme);
    int code = show(v, numbers, json);
    quantized_free(&q);
    return code;
}

/* A tensor of floats, as it is or in a scheme. */
static int show_checkpoint(struct view *v, const struct scheme *scheme, const struct quantize_run *run,
                           bool json)
{
    struct qsource src;
    if (!inventory_source(v->tensor, true, v->floats, &src))
        return failure("%s is of dtype %s with %" PRIu64
                       " elements; numbers of floats and of GGUF's blocks can be shown",
                       v->tensor->name, v->tensor->dtype, v->tensor->elements);
    const struct numbers numbers = {.rows = src.rows, .cols = src.cols, .src = &src};
    if (!scheme) return show(v, &numbers, json);
    v->scheme = *scheme;
    return show_quantized(v, &numbers, run, json);
}

/* The name that was meant, where one is near. */
static int no_such_tensor(const struct inventory *inventory, const char *path, const char *name)
{
    const char **names = mem_array(inventory->n_tensors, sizeof *names), *near = NULL;
    for (size_t i = 0; names && i < inventory->n_tensors; i++) names[i] = inventory->tensors[i].name;
    if (names) near = nearest_name(name, names, inventory->n_tensors);
    mem_free(names);
    if (near) return failure("%s: no tensor is called %s: did you mean %s?", path, name, near);
    return failure("%s: no tensor is called %s", path, name);
}

int inspect_one(const struct inventory *inventory, const char *path, const char *name,
                const struct scheme *scheme, const struct quantize_run *run, bool json)
{
    gpt2q_error err;
    struct view v = {.tensor = inventory_find(inventory, name)};
    if (!v.tensor) return no_such_tensor(inventory, path, name);
    if (inventory->kind == INVENTORY_GPT2Q && scheme)
        return failure("%s: %s is quantized already; inspect the original model", path, v.tensor->name);
    if (inventory->kind == INVENTORY_GPT2Q) return show_stored(inventory, &v, json);
    if (!v.tensor->stored) return failure("%s is a shape only and holds no numbers", v.tensor->name);
    if (container_needs_floats(v.tensor->stored) &&
        container_floats(v.tensor->stored, v.tensor->file, &v.floats, &err))
        return failed(&err);
    int code = show_checkpoint(&v, scheme, run, json);
    mem_free(v.floats);
    return code;
}
