/* The results: a table for people; JSON, CSV and Markdown for programs. All of them mark figures whose
 * rounds differ too much to prove anything. */
#include "app/bench/bench.h"
#include "app/common.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const test_names[] = {
    [TEST_PREFILL] = "prefill", [TEST_DECODE] = "decode", [TEST_TOKENIZE] = "tokenize"};

/* ---- one result, made ready ---- */

struct report_row {
    const struct bench_test *test;
    const char *scheme, *activations; /* NULL: tokenizing has none */
    struct summary rate;
    double fraction; /* of the bound; negative: none */
};

/* False where nothing was measured. */
static bool make_row(struct bench_plan *plan, struct bench_test *t, struct report_row *row)
{
    if (!t->rates.n) return false;
    *row = (struct report_row){.test = t, .rate = samples_summary(&t->rates), .fraction = -1};
    if (t->kind == TEST_TOKENIZE) return true;
    row->scheme = plan->schemes[t->scheme].text;
    row->activations = plan->schemes[t->scheme].activations_text;
    if (t->bound_tokens_per_s > 0) row->fraction = row->rate.median / t->bound_tokens_per_s;
    return true;
}

static const char *text_of(const char *s) { return s ? s : "-"; }

static void print_number(char *text, size_t size, double v, const char *format)
{
    if (v < 0)
        snprintf(text, size, "-");
    else if (!strcmp(format, "rate"))
        snprintf(text, size, v < 100 ? "%.1f" : "%.0f", v);
    else
        snprintf(text, size, "%.1f%s", v, format);
}

/* ---- the machine ---- */

static double median_or(struct samples *s, double otherwise)
{
    return s->n ? samples_summary(s).median : otherwise;
}

/* Names the working sets that a cache holds: a model in a cache is no measure of one that is not. */
static void print_cached_reads(const struct machine *m, const char *prefix)
{
    for (int r = 0; r < m->n_reads; r++) {
        const size_t bytes = m->limits[0].reads[r].working_set;
        if (bytes && bytes <= m->l3_bytes)
            printf("%sthe third-level cache (%.0f MB) holds the %.*f MB that are read: neither they nor the "
                   "model come from "
                   "memory\n",
                   prefix, (double)m->l3_bytes * 1e-6, bytes < 10000000, (double)bytes * 1e-6);
    }
}

static void print_machine(struct bench_plan *plan, const char *prefix)
{
    struct machine *m = &plan->machine;
    printf("%s%s, instruction set %s\n", prefix, m->cpu, m->isa);
    if (plan->beside)
        printf("%sbeside %d busy neighbour%s\n", prefix, plan->beside, plan->beside > 1 ? "s" : "");
    for (int i = 0; i < m->n_limits; i++) {
        struct machine_limits *l = &m->limits[i];
        if (!l->gflops_f32.n) continue;
        double fma = median_or(&l->gflops_f32, 0), dot = median_or(&l->gops_i8, 0);
        printf("%s%d thread%s: %.*f GFLOP/s fp32, %.*f Gop/s int8", prefix, l->threads,
               l->threads > 1 ? "s" : "", fma < 10 ? 2 : 0, fma, dot < 10 ? 2 : 0, dot);
        for (int r = 0; r < m->n_reads; r++) {
            if (!l->reads[r].gb_s.n) continue;
            struct summary s = samples_summary(&l->reads[r].gb_s);
            printf("%s %.1f%s GB/s of %.0f MB", r ? "," : "; reads", s.median, s.noisy ? "~" : "",
                   (double)l->reads[r].working_set * 1e-6);
        }
        putchar('\n');
    }
    print_cached_reads(m, prefix);
}

static cJSON *limits_json(struct machine *m)
{
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < m->n_limits; i++)
        for (int r = 0; r < m->n_reads; r++) {
            struct machine_limits *l = &m->limits[i];
            cJSON *o = cJSON_CreateObject();
            cJSON_AddNumberToObject(o, "threads", l->threads);
            cJSON_AddNumberToObject(o, "working_set", (double)l->reads[r].working_set);
            cJSON_AddItemToObject(o, "read_gb_s", json_real(median_or(&l->reads[r].gb_s, NAN)));
            cJSON_AddItemToObject(o, "gflops_f32", json_real(median_or(&l->gflops_f32, NAN)));
            cJSON_AddItemToObject(o, "gops_i8", json_real(median_or(&l->gops_i8, NAN)));
            cJSON_AddItemToArray(array, o);
        }
    return array;
}

/* The figures of the most threads over the largest working set; then all of them. */
static cJSON *machine_json(struct machine *m)
{
    struct machine_limits *most = &m->limits[0];
    for (int i = 1; i < m->n_limits; i++)
        if (m->limits[i].threads > most->threads) most = &m->limits[i];
    struct read_limit *largest = NULL;
    for (int r = 0; r < m->n_reads; r++)
        if (!largest || most->reads[r].working_set > largest->working_set) largest = &most->reads[r];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "cpu", json_text(m->cpu, strlen(m->cpu)));
    cJSON_AddStringToObject(o, "isa", m->isa);
    cJSON_AddNumberToObject(o, "threads", most->threads);
    cJSON_AddItemToObject(o, "l3_bytes",
                          m->l3_bytes ? cJSON_CreateNumber((double)m->l3_bytes) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "read_gb_s", json_real(largest ? median_or(&largest->gb_s, NAN) : NAN));
    cJSON_AddItemToObject(o, "gflops_f32", json_real(median_or(&most->gflops_f32, NAN)));
    cJSON_AddItemToObject(o, "gops_i8", json_real(median_or(&most->gops_i8, NAN)));
    cJSON_AddItemToObject(o, "limits", limits_json(m));
    return o;
}

/* ---- a step by its parts ---- */

#define ENTRIES (PART_COUNT + 2)
struct profile_entry {
    const char *name;
    double seconds, bound_s, bytes, flops; /* of a step; flops: fp32 and int8 operations together */
};

/* The parts of the pass, then sampling and, for decoding, the scheduler. The last two have no bound.
 * Returns how many there are. */
static int profile_entries(const struct bench_test *t, struct profile_entry entries[ENTRIES])
{
    const struct bench_profile *p = &t->profile;
    double rest = p->step_s - p->sampling_s;
    int n = 0;
    for (int i = 0; i < PART_COUNT; i++) {
        const struct cost *c = &p->cost[i];
        entries[n++] = (struct profile_entry){forward_part_name((enum forward_part)i), p->parts_s[i],
                                              p->bound_s[i], c->bytes, c->f32_flops + c->i8_ops};
        rest -= p->parts_s[i];
    }
    entries[n++] = (struct profile_entry){.name = "sampling", .seconds = p->sampling_s};
    if (t->kind == TEST_DECODE)
        entries[n++] = (struct profile_entry){.name = "scheduler", .seconds = rest > 0 ? rest : 0};
    return n;
}

static void print_profile(const struct report_row *row, bool markdown)
{
    static const char *const columns[] = {"part", "ms", "of step", "MB", "GB/s", "GFLOP/s", "of bound"};
    struct profile_entry entries[ENTRIES];
    const struct bench_test *t = row->test;
    int n = profile_entries(t, entries);
    printf("\n%s@%s, %s, %d row%s, %d thread%s: %.3f ms a step\n", row->scheme, row->activations,
           test_names[t->kind], (int)t->batch, t->batch > 1 ? "s" : "", (int)t->threads,
           t->threads > 1 ? "s" : "", 1e3 * t->profile.step_s);
    if (markdown) puts("");
    for (int i = 0; i < 7; i++) printf(markdown ? "| %s " : i ? "  %9s" : "%-12s", columns[i]);
    puts(markdown ? "|\n|---|---:|---:|---:|---:|---:|---:|" : "");
    for (int i = 0; i < n; i++) {
        const struct profile_entry *e = &entries[i];
        double ns = 1e9 * e->seconds;
        printf(markdown ? "| %s | %.3f | %.1f %% | %.3f | %.1f | %.1f |"
                        : "%-12s  %9.3f  %7.1f %%  %9.3f  %9.1f  %9.1f",
               e->name, 1e3 * e->seconds, 100 * e->seconds / t->profile.step_s, e->bytes * 1e-6,
               ns > 0 ? e->bytes / ns : 0, ns > 0 ? e->flops / ns : 0);
        if (e->bound_s > 0)
            printf(markdown ? " %.1f %% |\n" : "  %7.1f %%\n", 100 * e->bound_s / e->seconds);
        else
            puts(markdown ? " - |" : "          -");
    }
}

static cJSON *profile_json(const struct bench_test *t)
{
    struct profile_entry entries[ENTRIES];
    int n = profile_entries(t, entries);
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        const struct profile_entry *e = &entries[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "part", e->name);
        cJSON_AddItemToObject(o, "seconds", json_real(e->seconds));
        cJSON_AddItemToObject(o, "bytes", json_real(e->bytes));
        cJSON_AddItemToObject(o, "gflops", json_real(e->seconds > 0 ? 1e-9 * e->flops / e->seconds : 0));
        cJSON_AddItemToObject(o, "fraction_of_bound",
                              e->bound_s > 0 ? json_real(e->bound_s / e->seconds) : cJSON_CreateNull());
        cJSON_AddItemToArray(array, o);
    }
    return array;
}

/* ---- JSON ---- */

static void add_text_or_null(cJSON *o, const char *key, const char *text)
{
    cJSON_AddItemToObject(o, key, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static cJSON *row_json(const struct report_row *row)
{
    const struct bench_test *t = row->test;
    cJSON *o = cJSON_CreateObject();
    add_text_or_null(o, "scheme", row->scheme);
    add_text_or_null(o, "activations", row->activations);
    cJSON_AddStringToObject(o, "test", test_names[t->kind]);
    cJSON_AddNumberToObject(o, "tokens", t->tokens);
    cJSON_AddNumberToObject(o, "batch", t->batch);
    cJSON_AddNumberToObject(o, "position", t->position);
    cJSON_AddNumberToObject(o, "threads", t->threads);
    cJSON *rate = cJSON_AddObjectToObject(o, "tokens_per_s");
    cJSON_AddItemToObject(rate, "median", json_real(row->rate.median));
    cJSON_AddItemToObject(rate, "min", json_real(row->rate.min));
    cJSON_AddItemToObject(rate, "max", json_real(row->rate.max));
    cJSON_AddItemToObject(o, "bytes_per_token", json_real(t->bytes_per_token));
    bool bounded = row->fraction >= 0;
    cJSON_AddItemToObject(o, "bound_tokens_per_s",
                          bounded ? json_real(t->bound_tokens_per_s) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "fraction_of_bound", bounded ? json_real(row->fraction) : cJSON_CreateNull());
    if (t->kind == TEST_TOKENIZE)
        cJSON_AddItemToObject(o, "mb_per_s", json_real(row->rate.median * t->bytes_per_token * 1e-6));
    cJSON_AddBoolToObject(o, "noisy", row->rate.noisy || t->bound_noisy);
    if (t->profile.n_steps) cJSON_AddItemToObject(o, "profile", profile_json(t));
    return o;
}

static void report_json(struct bench_plan *plan)
{
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddItemToObject(doc, "machine", machine_json(&plan->machine));
    cJSON_AddNumberToObject(doc, "beside", plan->beside);
    cJSON *results = cJSON_AddArrayToObject(doc, "results");
    for (int i = 0; i < plan->n_tests; i++) {
        struct report_row row;
        if (make_row(plan, &plan->tests[i], &row)) cJSON_AddItemToArray(results, row_json(&row));
    }
    json_add_interrupted(doc, plan->interrupted);
    json_print(doc);
}

/* ---- CSV ---- */

static void report_csv(struct bench_plan *plan)
{
    printf("scheme,activations,test,tokens,batch,position,threads,median,min,max,bytes_per_token,bound_"
           "tokens_per_s,"
           "fraction_of_bound,noisy\n");
    for (int i = 0; i < plan->n_tests; i++) {
        struct report_row r;
        const struct bench_test *t = &plan->tests[i];
        if (!make_row(plan, &plan->tests[i], &r)) continue;
        printf("%s,%s,%s,%d,%d,%d,%d,%.9g,%.9g,%.9g,%.9g,", r.scheme ? r.scheme : "",
               r.activations ? r.activations : "", test_names[t->kind], (int)t->tokens, (int)t->batch,
               (int)t->position, (int)t->threads, r.rate.median, r.rate.min, r.rate.max, t->bytes_per_token);
        if (r.fraction >= 0)
            printf("%.9g,%.9g", t->bound_tokens_per_s, r.fraction);
        else
            putchar(',');
        printf(",%s\n", r.rate.noisy || t->bound_noisy ? "true" : "false");
    }
}

/* ---- table and Markdown ---- */

#define COLUMNS 12
static const char *const headings[COLUMNS] = {"scheme", "activations", "test",     "tokens",
                                              "batch",  "position",    "threads",  "tokens/s",
                                              "min",    "max",         "MB/token", "of bound"};
/* The table on a terminal fits 80 columns: short headings, and no extremes. --json, --csv and --markdown
 * have those. */
static const char *const short_headings[COLUMNS] = {"scheme", "act",  "test",    "tokens",
                                                    "batch",  "pos.", "thr",     "tokens/s",
                                                    "min",    "max",  "MB/tok.", "of bound"};
static const int widths[COLUMNS] = {17, 3, 8, 6, 5, 4, 3, 9, 0, 0, 7, 8};
#define LEFT_COLUMNS 3

static void print_cells(const char *const *cells, bool markdown)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (markdown)
            printf("| %s ", cells[i]);
        else if (widths[i])
            printf("%s%*s", i ? " " : "", i < LEFT_COLUMNS ? -widths[i] : widths[i], cells[i]);
    }
    puts(markdown ? "|" : "");
}

static void print_row(const struct report_row *r, bool markdown)
{
    const struct bench_test *t = r->test;
    char text[COLUMNS][40];
    const char *cells[COLUMNS] = {text_of(r->scheme), text_of(r->activations), test_names[t->kind]};
    for (int i = LEFT_COLUMNS; i < COLUMNS; i++) cells[i] = text[i];
    const int32_t numbers[] = {t->tokens, t->batch, t->position, t->threads};
    for (int i = 0; i < 4; i++) snprintf(text[3 + i], sizeof text[0], "%d", (int)numbers[i]);
    print_number(text[7], sizeof text[0] - 1, r->rate.median, "rate");
    if (r->rate.noisy) strcat(text[7], "~");
    print_number(text[8], sizeof text[0], r->rate.min, "rate");
    print_number(text[9], sizeof text[0], r->rate.max, "rate");
    snprintf(text[10], sizeof text[0], t->kind == TEST_TOKENIZE ? "-" : "%.3g", t->bytes_per_token * 1e-6);
    print_number(text[11], sizeof text[0] - 1, r->fraction < 0 ? -1 : 100 * r->fraction, " %");
    if (r->rate.noisy || t->bound_noisy) strcat(text[11], "~");
    print_cells(cells, markdown);
}

/* Returns false if an interrupt came before the first figure. */
static bool any_measured(const struct bench_plan *plan)
{
    for (int i = 0; i < plan->n_tests; i++)
        if (plan->tests[i].rates.n) return true;
    return false;
}

static void report_table(struct bench_plan *plan, bool markdown)
{
    bool noisy = false;
    print_machine(plan, markdown ? "- " : "");
    if (!any_measured(plan)) return;
    putchar('\n');
    print_cells(markdown ? headings : short_headings, markdown);
    if (markdown) {
        for (int i = 0; i < COLUMNS; i++) printf(i < LEFT_COLUMNS ? "|---" : "|---:");
        puts("|");
    }
    for (int i = 0; i < plan->n_tests; i++) {
        struct report_row row;
        if (!make_row(plan, &plan->tests[i], &row)) continue;
        print_row(&row, markdown);
        noisy |= row.rate.noisy || row.test->bound_noisy;
        if (row.test->kind == TEST_TOKENIZE)
            printf("%stokenizer: %.1f MB/s\n", markdown ? "\n" : "",
                   row.rate.median * row.test->bytes_per_token * 1e-6);
    }
    if (noisy)
        printf("\n~ the rounds differ by more than %.0f %%: nothing can be concluded from this figure\n",
               100 * BENCH_NOISY);
    for (int i = 0; i < plan->n_tests; i++) {
        struct report_row row;
        if (plan->tests[i].profile.n_steps && make_row(plan, &plan->tests[i], &row))
            print_profile(&row, markdown);
    }
}

void bench_report(struct bench_plan *plan, enum bench_format format)
{
    switch (format) {
    case BENCH_JSON: report_json(plan); break;
    case BENCH_CSV: report_csv(plan); break;
    case BENCH_TABLE:
    case BENCH_MARKDOWN: report_table(plan, format == BENCH_MARKDOWN); break;
    }
    fflush(stdout);
    if (plan->interrupted && !plan->quiet)
        fprintf(stderr, "interrupted: the figures are those of the rounds that were made\n");
}
