/* gpt2q generate: continues one prompt. It is a batch with one request. */
#include "app/commands.h"
#include "app/common.h"
#include "app/tables.h"
#include "base/clock.h"
#include "base/memory.h"
#include "engine/context.h"
#include "engine/model.h"
#include "kernels/scalar_math.h"
#include "openai/answer.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    struct model_options model;
    struct generation_options generation;
    const char *file;
    bool json;
} opt;

static void options(struct option_set *set)
{
    option_add(set, (struct option){'f', "file", OPTION_STRING, &opt.file, "FILE",
                                    "take the prompt from a file, or from standard input (-)", 0, 0});
    generation_options_add(set, &opt.generation);
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
    model_options_add(set, &opt.model);
}

/* The score of the prompt is all there is to print. */
static bool scores_only(void) { return !opt.json && opt.generation.max_tokens == 0; }

struct sample { /* a copy of a result */
    int32_t *prompt_ids, *ids;
    char *text;
    gpt2q_position *positions;
    gpt2q_token_logprob *top;
    gpt2q_result result;
    bool ended;
};

struct generation {
    const gpt2q_model *model;
    const char *prompt; /* as given */
    size_t prompt_len;
    gpt2q_request request;
    struct sample *samples;
    bool out_of_memory, stream;
    double load_s, started_at;
    gpt2q_scheduler_stats stats;
};

static void *copy_of(struct generation *g, const void *p, size_t count, size_t size)
{
    void *copy = mem_array(count, size);
    if (!copy)
        g->out_of_memory = true;
    else if (count)
        memcpy(copy, p, count * size);
    return copy;
}

static void copy_positions(struct generation *g, struct sample *s, const gpt2q_result *r)
{
    size_t k = (size_t)g->request.n_logprobs;
    s->positions = copy_of(g, r->positions, r->n_positions, sizeof *r->positions);
    s->top = mem_array(r->n_positions * k, sizeof *s->top);
    if (!s->positions || !s->top) {
        g->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < r->n_positions; i++) {
        if (!r->positions[i].top) continue;
        memcpy(s->top + i * k, r->positions[i].top, k * sizeof *s->top);
        s->positions[i].top = s->top + i * k;
    }
}

static void on_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *r)
{
    (void)request;
    struct generation *g = user;
    struct sample *s = &g->samples[sample];
    s->result = *r;
    s->prompt_ids = copy_of(g, r->prompt_ids, r->n_prompt, sizeof *r->prompt_ids);
    s->ids = copy_of(g, r->ids, r->n_ids, sizeof *r->ids);
    s->text = copy_of(g, r->text, r->text_len, 1);
    if (r->positions) copy_positions(g, s, r);
    s->ended = true;
}

static void on_text(void *user, uint64_t request, int32_t sample, const char *text, size_t len)
{
    (void)user, (void)request, (void)sample;
    print_text(text, len);
    fflush(stdout);
}

/* ---- output ---- */

static void print_ids(const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) printf("%s%d", i ? " " : "", (int)ids[i]);
    putchar('\n');
}

/* The text of a sample. With --echo the prompt comes first. */
static cJSON *text_json(const struct generation *g, const struct sample *s)
{
    size_t before = g->request.echo ? g->prompt_len : 0;
    char *text = mem_alloc(before + s->result.text_len);
    if (!text) exit_out_of_memory();
    memcpy(text, g->prompt, before);
    memcpy(text + before, s->text, s->result.text_len);
    cJSON *item = json_text(text, before + s->result.text_len);
    mem_free(text);
    return item;
}

static void add_sample(cJSON *to, const struct generation *g, const struct sample *s, int32_t number)
{
    cJSON_AddItemToObject(to, "ids", json_ids(s->ids, s->result.n_ids));
    cJSON_AddItemToObject(to, "text", text_json(g, s));
    cJSON_AddStringToObject(to, "finish_reason", finish_name(s->result.finish));
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)(g->request.sampling.seed + (uint64_t)number));
    cJSON_AddRawToObject(to, "seed", seed);
    if (g->request.n_logprobs >= 0)
        cJSON_AddItemToObject(to, "logprobs",
                              json_logprobs(s->positions, s->result.n_positions, g->request.n_logprobs));
}

struct timings {
    double prefill_s, decode_s, prefill_rate, decode_rate;
    size_t n_prompt, n_made;
};

static struct timings timings_of(const struct generation *g)
{
    struct timings t = {0};
    for (int32_t i = 0; i < g->request.n_samples; i++) {
        const gpt2q_result *r = &g->samples[i].result;
        if (i == 0) t.n_prompt = r->n_prompt, t.prefill_s = r->n_ids ? r->prefill_s : r->decode_s;
        if (r->n_ids) t.n_made += r->n_ids;
        if (r->n_ids && r->decode_s > t.decode_s) t.decode_s = r->decode_s;
    }
    t.prefill_rate = t.prefill_s > 0 ? (double)t.n_prompt / t.prefill_s : 0;
    size_t firsts = (size_t)g->request.n_samples; /* the first token of each came with the prompt */
    t.decode_rate = t.decode_s > 0 && t.n_made > firsts ? (double)(t.n_made - firsts) / t.decode_s : 0;
    return t;
}

static void print_json(const struct generation *g, const char *activations)
{
    cJSON *doc = cJSON_CreateObject();
    struct timings t = timings_of(g);
    cJSON_AddItemToObject(doc, "model",
                          json_text(gpt2q_model_name(g->model), strlen(gpt2q_model_name(g->model))));
    cJSON_AddStringToObject(doc, "scheme", gpt2q_model_scheme(g->model));
    cJSON_AddStringToObject(doc, "activations", activations);
    cJSON_AddItemToObject(doc, "prompt", json_text(g->prompt, g->prompt_len));
    cJSON_AddItemToObject(doc, "prompt_ids",
                          json_ids(g->samples[0].prompt_ids, g->samples[0].result.n_prompt));
    if (g->request.n_samples == 1) {
        add_sample(doc, g, &g->samples[0], 0);
    } else {
        cJSON *array = cJSON_AddArrayToObject(doc, "samples");
        for (int32_t i = 0; i < g->request.n_samples; i++) {
            cJSON *s = cJSON_CreateObject();
            add_sample(s, g, &g->samples[i], i);
            cJSON_AddItemToArray(array, s);
        }
    }
    cJSON *timings = cJSON_AddObjectToObject(doc, "timings");
    cJSON_AddItemToObject(timings, "load_s", json_real(g->load_s));
    cJSON_AddItemToObject(timings, "prefill_s", json_real(t.prefill_s));
    cJSON_AddItemToObject(timings, "decode_s", json_real(t.decode_s));
    cJSON_AddItemToObject(timings, "prefill_tokens_per_s", json_real(t.prefill_rate));
    cJSON_AddItemToObject(timings, "decode_tokens_per_s", json_real(t.decode_rate));
    json_print(doc);
}

/* For -n 0: how likely the prompt is. */
static void print_prompt_score(const struct generation *g)
{
    const struct sample *s = &g->samples[0];
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->result.n_positions; i++)
        if (s->positions[i].top) { /* the first token of a prompt has no probability */
            sum += (double)s->positions[i].logprob;
            n++;
        }
    if (n)
        printf("log-probability %.4f of %zu tokens after the first; %.4f a token, perplexity %.3f\n", sum, n,
               sum / (double)n, math_exp(-sum / (double)n));
    else
        printf("a prompt of one token has no log-probability\n");
}

static void print_plain(const struct generation *g)
{
    if (scores_only()) {
        print_prompt_score(g);
        return;
    }
    if (g->stream) {
        putchar('\n');
        return;
    }
    for (int32_t i = 0; i < g->request.n_samples; i++) {
        const struct sample *s = &g->samples[i];
        if (g->request.n_samples > 1)
            printf("%s[sample %d, seed %llu]\n", i ? "\n" : "", (int)i,
                   (unsigned long long)(g->request.sampling.seed + (uint64_t)i));
        if (!model_tokenizer(g->model)) {
            if (g->request.echo) print_ids(s->prompt_ids, s->result.n_prompt);
            print_ids(s->ids, s->result.n_ids);
            continue;
        }
        if (g->request.echo) print_text(g->prompt, g->prompt_len);
        print_text(s->text, s->result.text_len);
        putchar('\n');
    }
}

static void print_timings(const struct generation *g)
{
    struct timings t = timings_of(g);
    char name[SAFE_NAME];
    fflush(stdout);
    fprintf(stderr, "%s, %s: loaded in %.3f s; %zu prompt tokens in %.3f s (%.0f/s)",
            safe_name(gpt2q_model_name(g->model), name), gpt2q_model_scheme(g->model), g->load_s, t.n_prompt,
            t.prefill_s, t.prefill_rate);
    if (t.n_made) fprintf(stderr, "; %zu tokens made in %.3f s", t.n_made, t.decode_s);
    if (t.decode_rate > 0) fprintf(stderr, " (%.0f/s)", t.decode_rate);
    if (g->stats.proposed_tokens)
        fprintf(stderr, ", %" PRIu64 " of %" PRIu64 " proposed accepted", g->stats.accepted_tokens,
                g->stats.proposed_tokens);
    fputc('\n', stderr);
}

/* ---- running ---- */

static int steps(struct generation *g, gpt2q_scheduler *scheduler)
{
    gpt2q_error err;
    uint64_t id;
    bool busy = true;
    if (gpt2q_scheduler_submit(scheduler, &g->request, &id, &err)) return failed(&err);
    signals_watch();
    while (busy) {
        if (signal_seen()) gpt2q_scheduler_cancel(scheduler, id);
        if (gpt2q_scheduler_step(scheduler, &busy, &err)) return failed(&err);
    }
    if (g->out_of_memory) return failure("out of memory: the results do not fit");
    for (int32_t i = 0; i < g->request.n_samples; i++)
        if (g->samples[i].result.finish == GPT2Q_FINISH_ERROR) return failed(&g->samples[i].result.error);
    return EXIT_DONE;
}

static int generate(struct generation *g, gpt2q_context *ctx)
{
    gpt2q_error err;
    gpt2q_scheduler *scheduler;
    gpt2q_scheduler_params p = gpt2q_scheduler_params_default();
    p.n_rows = g->request.n_samples < 8 ? g->request.n_samples : 8;
    p.n_queue = 1;
    if (gpt2q_scheduler_create(ctx, &p, &scheduler, &err)) return failed(&err);
    if (g->stream && (g->request.echo || isatty(STDOUT_FILENO))) print_text(g->prompt, g->prompt_len);
    int code = steps(g, scheduler);
    g->stats = gpt2q_scheduler_get_stats(scheduler);
    gpt2q_scheduler_free(scheduler);
    if (code) return code;
    if (opt.json)
        print_json(g, gpt2q_context_activations(ctx));
    else
        print_plain(g);
    if (!opt.json && !opt.model.quiet) print_timings(g);
    return signal_exit_code();
}

static int with_model(struct generation *g)
{
    gpt2q_model *model;
    gpt2q_context *ctx;
    double begin = clock_seconds();
    int code = open_model(&opt.model, opt.generation.ids, &model);
    if (code) return code;
    int32_t rows = g->request.n_samples < 8 ? g->request.n_samples : 8,
            outputs = output_rows(&opt.generation, rows);
    if (g->request.echo && g->request.n_logprobs >= 0 && outputs < 64)
        outputs = 64; /* a prompt is scored in steps of so many tokens */
    g->model = model;
    code = create_context(&opt.model, model, rows, outputs, &ctx);
    g->load_s = clock_seconds() - begin;
    if (!code) {
        g->stream = !opt.json && g->request.n_samples == 1 && model_tokenizer(model) && !scores_only();
        if (g->stream) g->request.on_text = on_text;
        code = generate(g, ctx);
        gpt2q_context_free(ctx);
    }
    gpt2q_model_close(model);
    return code;
}

static void free_samples(struct generation *g)
{
    for (int32_t i = 0; g->samples && i < g->request.n_samples; i++) {
        struct sample *s = &g->samples[i];
        void *all[] = {s->prompt_ids, s->ids, s->text, s->positions, s->top};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) mem_free(all[k]);
    }
    mem_free(g->samples);
}

static int run(int argc, char **argv)
{
    char *prompt;
    int32_t *ids = NULL;
    struct generation g = {.request = request_from_options(&opt.generation)};
    int code = generation_options_check(&opt.generation);
    if (!code) code = model_options_check(&opt.model);
    if (!code) code = model_options_check_uses(&opt.model);
    if (code) return code;
    if (opt.generation.logprobs >= 0 && !opt.json)
        return usage_error("--logprobs needs --json: only there is room for them");
    const struct generation_options *o = &opt.generation;
    if (o->temperature == 0 && (o->top_k || o->top_p < 1 || o->min_p > 0) && !opt.model.quiet)
        fprintf(stderr, "--top-k, --top-p and --min-p change nothing here: without --temperature above 0 the "
                        "likeliest token is "
                        "taken\n");
    if (scores_only()) { /* one sample says it: all have the same prompt */
        g.request.echo = true;
        g.request.n_logprobs = 0;
        g.request.n_samples = 1;
    }
    code = read_prompt(argc, argv, opt.file, &prompt, &g.prompt_len);
    if (code) return code;
    if (opt.generation.ids) code = parse_ids(prompt, &ids, &g.request.n_ids);
    if (!code) {
        g.prompt = g.request.prompt = prompt;
        g.request.prompt_len = g.prompt_len;
        g.request.ids = ids;
        g.request.on_end = on_end;
        g.request.user = &g;
        g.samples = mem_zarray((size_t)g.request.n_samples, sizeof *g.samples);
        code = g.samples ? with_model(&g) : failure("out of memory: %d samples", (int)g.request.n_samples);
        free_samples(&g);
    }
    mem_free(ids);
    mem_free(prompt);
    return code;
}

const struct command command_generate = {
    .name = "generate",
    .arguments = "[PROMPT]",
    .summary = "continue a prompt",
    .description = "Writes the continuation as it is made. On a terminal the prompt comes first.\n"
                   "A line of timings goes to stderr.\n"
                   "The order of sampling is repetition penalty, temperature, top-k, top-p, min-p.\n"
                   "Ties go to the lower id.\n"
                   "With --truncate left, a prompt that fills the context keeps its newest tokens\n"
                   "and leaves room for -n more (at most half of the context).\n",
    .examples = "  gpt2q generate \"The quick brown fox\"\n"
                "  gpt2q generate -n 100 -t 0.8 --top-p 0.95 --seed 7 \"Once upon a time\"\n"
                "  gpt2q generate -q i4 --stop \".\" \"The king's daughter\"\n"
                "  gpt2q generate -n 0 \"How likely is this?\"\n"
                "  echo \"It was a dark night\" | gpt2q generate\n",
    .options = options,
    .run = run,
};
