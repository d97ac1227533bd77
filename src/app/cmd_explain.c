/* gpt2q explain: quantizes a small matrix step by step. */
#include "app/commands.h"
#include "app/common.h"
#include "app/explain_qat.h"
#include "base/file.h"
#include "base/memory.h"
#include "methods/lesson.h"
#include "quantize/explain.h"
#include <stdio.h>
#include <string.h>

#define MAX_INPUT ((size_t)1 << 20)

static struct {
    bool json, qat;
    const char *method;
} opt;

static void options(struct option_set *set)
{
    option_add(set, (struct option){0, "method", OPTION_STRING, &opt.method, "NAME",
                                    "instead: " LESSON_METHODS ", step by step", 0, 0});
    option_add(set, (struct option){
                        0, "qat", OPTION_FLAG, &opt.qat, NULL,
                        "instead: train a quantized layer, as the notes sketch it and as it is done", 0, 0});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
}

struct grids_lesson {
    const struct explain_input *input;
    struct explanation methods[EXPLAIN_COUNT];
    double product[EXPLAIN_SIDE_MAX];
};

/* ---- JSON ---- */

static cJSON *reals_json(const double *values, int n)
{
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(array, json_real(values[i]));
    return array;
}

static cJSON *method_json(const struct grids_lesson *l, enum explain_method method)
{
    const struct explanation *e = &l->methods[method];
    int rows = l->input->rows, cols = l->input->cols;
    cJSON *o = cJSON_CreateObject(), *codes = cJSON_AddArrayToObject(o, "W_codes");
    for (int r = 0; r < rows; r++) cJSON_AddItemToArray(codes, cJSON_CreateIntArray(e->W_codes[r], cols));
    cJSON_AddItemToObject(o, "x_codes", cJSON_CreateIntArray(e->x_codes, cols));
    cJSON_AddItemToObject(o, "W_scale", json_real(e->W_scale));
    cJSON_AddItemToObject(o, "x_scale", json_real(e->x_scale));
    if (method != EXPLAIN_ABSMAX) {
        cJSON_AddItemToObject(o, "W_zero", json_real(e->W_zero));
        cJSON_AddItemToObject(o, "x_zero", json_real(e->x_zero));
    }
    cJSON_AddItemToObject(o, "W_mean_error", json_real(e->W_mean_error));
    cJSON_AddItemToObject(o, "x_mean_error", json_real(e->x_mean_error));
    cJSON *sums = cJSON_AddArrayToObject(o, "sums");
    for (int r = 0; r < rows; r++) cJSON_AddItemToArray(sums, cJSON_CreateNumber((double)e->sums[r]));
    cJSON_AddItemToObject(o, "int8_sums", cJSON_CreateIntArray(e->int8_sums, rows));
    cJSON_AddItemToObject(o, "product", reals_json(e->product, rows));
    cJSON_AddItemToObject(o, "mean_error", json_real(e->mean_error));
    if (method != EXPLAIN_MINMAX) return o;
    cJSON_AddItemToObject(o, "product_notes", reals_json(e->product_notes, rows));
    cJSON_AddItemToObject(o, "mean_error_notes", json_real(e->mean_error_notes));
    return o;
}

static void print_json(const struct grids_lesson *l)
{
    cJSON *doc = cJSON_CreateObject();
    for (int m = 0; m < EXPLAIN_COUNT; m++)
        cJSON_AddItemToObject(doc, explain_names[m], method_json(l, (enum explain_method)m));
    cJSON_AddItemToObject(doc, "product", reals_json(l->product, l->input->rows));
    json_print(doc);
}

/* ---- text ---- */

static void print_reals(const char *label, const double *values, int n)
{
    printf("%-28s", label);
    for (int i = 0; i < n; i++) printf(" %8.4f", values[i]);
    putchar('\n');
}

static void print_codes(const char *label, const int *codes, int n)
{
    printf("%-28s", label);
    for (int i = 0; i < n; i++) printf(" %8d", codes[i]);
    putchar('\n');
}

static void print_input(const struct grids_lesson *l)
{
    double row[EXPLAIN_SIDE_MAX];
    for (int r = 0; r < l->input->rows; r++) {
        for (int k = 0; k < l->input->cols; k++) row[k] = (double)l->input->W[r][k];
        print_reals(r ? "" : "W", row, l->input->cols);
    }
    for (int k = 0; k < l->input->cols; k++) row[k] = (double)l->input->x[k];
    print_reals("x", row, l->input->cols);
    print_reals("W @ x", l->product, l->input->rows);
}

static void print_method(const struct grids_lesson *l, enum explain_method method)
{
    static const char *const titles[EXPLAIN_COUNT] = {
        "absmax: code = round(w / s), s = max|w| / 127; 0 stays 0",
        "minmax: code = round(w / s + z), s = (max - min) / 255, z = -128 - min / s",
        ("affine: code = round(w / s) + z, the same s over a range that holds 0,\n"
         "        z = round(-128 - min / s)"),
    };
    const struct explanation *e = &l->methods[method];
    int rows = l->input->rows, cols = l->input->cols;
    double sums[EXPLAIN_SIDE_MAX];
    printf("\n%s\n", titles[method]);
    printf("%-28s W %.6g, x %.6g\n", "  scale s", e->W_scale, e->x_scale);
    if (method != EXPLAIN_ABSMAX) printf("%-28s W %.6g, x %.6g\n", "  zero point z", e->W_zero, e->x_zero);
    for (int r = 0; r < rows; r++) print_codes(r ? "" : "  codes of W", e->W_codes[r], cols);
    print_codes("  codes of x", e->x_codes, cols);
    printf("%-28s W %.4f, x %.4f\n", "  mean error", e->W_mean_error, e->x_mean_error);
    for (int r = 0; r < rows; r++) sums[r] = (double)e->sums[r];
    printf("%-28s", "  sums of code products");
    for (int r = 0; r < rows; r++) printf(" %8.0f", sums[r]);
    printf("\n");
    print_codes("  the same in int8: overflow", e->int8_sums, rows);
    print_reals(method == EXPLAIN_ABSMAX ? "  sums * s_W * s_x" : "  product from codes alone", e->product,
                rows);
    printf("%-28s   %.4f\n", "  its mean error", e->mean_error);
    if (method != EXPLAIN_MINMAX) return;
    print_reals("  product as in the notes", e->product_notes, rows);
    printf(
        "%-28s   %.4f: it subtracts sums of the unquantized\n%31sW and x, which quantization was to spare\n",
        "  its mean error", e->mean_error_notes, "");
}

/* ---- running ---- */

static int teach(struct grids_lesson *l)
{
    gpt2q_error err;
    explain_product(l->input, l->product);
    for (int m = 0; m < EXPLAIN_COUNT; m++)
        if (explain(l->input, (enum explain_method)m, &l->methods[m], &err)) return failed(&err);
    if (opt.json) {
        print_json(l);
        return EXIT_DONE;
    }
    print_input(l);
    for (int m = 0; m < EXPLAIN_COUNT; m++) print_method(l, (enum explain_method)m);
    return EXIT_DONE;
}

/* ---- a method, line by line ---- */

static void print_line(const struct lesson_line *line)
{
    if (!line->n) {
        printf("%s\n", line->label);
        return;
    }
    printf("  %-60s", line->label);
    for (int i = 0; i < line->n; i++)
        printf(line->whole ? " %7.0f" : " %9.5g", line->values[i] + 0.0); /* + 0.0: no zero prints as -0 */
    putchar('\n');
}

static cJSON *line_json(const struct lesson_line *line)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "what", line->label);
    cJSON_AddItemToObject(o, "values", reals_json(line->values, line->n));
    return o;
}

static int teach_method(const struct explain_input *input)
{
    gpt2q_error err;
    struct lesson l;
    gpt2q_status s = lesson_teach(input, opt.method, &l, &err);
    cJSON *doc = !s && opt.json ? cJSON_CreateObject() : NULL;
    cJSON *steps = doc ? cJSON_AddArrayToObject(doc, "steps") : NULL;
    if (doc) cJSON_AddStringToObject(doc, "method", opt.method);
    for (size_t i = 0; i < l.n && !s; i++) {
        if (doc)
            cJSON_AddItemToArray(steps, line_json(&l.lines[i]));
        else
            print_line(&l.lines[i]);
    }
    if (doc) json_print(doc);
    lesson_free(&l);
    return s == GPT2Q_INVALID_ARGUMENT ? usage_error("%s", err.message) : s ? failed(&err) : EXIT_DONE;
}

static int run(int argc, char **argv)
{
    static struct explain_input input;
    static struct grids_lesson lesson = {.input = &explain_example};
    gpt2q_error err;
    char *text;
    size_t n;
    if (argc > 1) return usage_error("one file is expected, not %d", argc);
    if (opt.qat && opt.method) return usage_error("--qat and --method are different lessons: one of them");
    if (argc == 1) {
        if (file_read_text(argv[0], MAX_INPUT, &text, &n, &err)) return failed(&err);
        gpt2q_status s = explain_parse(text, n, file_spoken_name(argv[0]), &input, &err);
        mem_free(text);
        if (s) return failed(&err);
        lesson.input = &input;
    }
    if (opt.qat) return explain_qat(lesson.input, opt.json);
    return opt.method ? teach_method(lesson.input) : teach(&lesson);
}

const struct command command_explain = {
    .name = "explain",
    .arguments = "[FILE]",
    .summary = "quantize a small matrix step by step",
    .description = "FILE (- for standard input) holds {\"W\": [[..], ..], \"x\": [..]} with up to 64\n"
                   "rows and columns. Without it, the 3 x 5 example of the course notes is used.\n"
                   "Shows three ways to quantize to int8: codes, scales, zero points, the product\n"
                   "from codes alone, and what happens when int8 products are summed in int8.\n",
    .examples = "  gpt2q explain\n"
                "  gpt2q explain --method gptq\n"
                "  gpt2q explain --method llm.int8:1\n"
                "  gpt2q explain --qat\n"
                "  echo '{\"W\": [[1, -2], [0.5, 3]], \"x\": [1, 0.1]}' | gpt2q explain - --json\n",
    .options = options,
    .run = run,
};
