/* gpt2q trace: every named intermediate of one forward pass, as a safetensors file. */
#include "app/commands.h"
#include "app/common.h"
#include "app/outputs.h"
#include "app/tables.h"
#include "base/checked.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "engine/model.h"
#include "model/safetensors.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct {
    struct model_options model;
    const char *output, *file;
    bool ids, json;
} opt;

static void options(struct option_set *set)
{
    option_add(set, (struct option){'o', "output", OPTION_STRING, &opt.output, "FILE",
                                    "the safetensors file to write", 0, 0});
    option_add(set, (struct option){'f', "file", OPTION_STRING, &opt.file, "FILE",
                                    "take the prompt from a file, or from standard input (-)", 0, 0});
    option_add(set, (struct option){0, "ids", OPTION_FLAG, &opt.ids, NULL,
                                    "the prompt is ids (\"464 2068\"); needs no vocabulary", 0, 0});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "list what was written as JSON on stdout", 0, 0});
    model_options_add(set, &opt.model);
}

struct intermediate {
    char name[64];
    int32_t cols;
    float *data; /* (n, cols) */
};

struct trace {
    int32_t *ids;
    size_t n;
    struct intermediate *items;
    size_t n_items, capacity;
    bool out_of_memory;
};

static struct intermediate *item_named(struct trace *t, const char *name, int32_t cols)
{
    for (size_t i = 0; i < t->n_items; i++)
        if (!strcmp(t->items[i].name, name)) return &t->items[i];
    struct intermediate *item = t->n_items < t->capacity ? &t->items[t->n_items] : NULL;
    if (!item || !(item->data = mem_array(t->n * (size_t)cols, sizeof(float)))) return NULL;
    snprintf(item->name, sizeof item->name, "%s", name);
    item->cols = cols;
    t->n_items++;
    return item;
}

static void keep(void *user, const char *name, float *data, int32_t rows_first, int32_t rows, int32_t cols)
{
    struct trace *t = user;
    struct intermediate *item = item_named(t, name, cols);
    if (item)
        memcpy(item->data + (size_t)rows_first * (size_t)cols, data,
               (size_t)rows * (size_t)cols * sizeof(float));
    else
        t->out_of_memory = true;
}

static int write_items(const struct trace *t, struct file_writer *w, const struct st_declaration *d,
                       gpt2q_error *err)
{
    struct st_metadata format = {.key = (char[]){"format"}, .value = (char[]){"pt"}};
    gpt2q_status s = st_write_header(w, d, t->n_items + 1, &format, 1, err);
    for (size_t i = 0; i < t->n && !s; i++) {
        int64_t id = t->ids[i];
        s = file_writer_write(w, &id, sizeof id, err);
    }
    for (size_t i = 0; i < t->n_items && !s; i++)
        s = file_writer_write(w, t->items[i].data, t->n * (size_t)t->items[i].cols * sizeof(float), err);
    return s ? failed(err) : EXIT_DONE;
}

static int write_trace(const struct trace *t)
{
    gpt2q_error err;
    struct file_writer w;
    struct st_declaration *d = mem_zarray(t->n_items + 1, sizeof *d);
    if (!d) return failure("out of memory: %zu intermediates", t->n_items);
    d[0] = (struct st_declaration){.name = "input_ids", .dtype = ST_I64, .n_dims = 1, .shape = {t->n}};
    for (size_t i = 0; i < t->n_items; i++)
        d[i + 1] = (struct st_declaration){.name = t->items[i].name,
                                           .dtype = ST_F32,
                                           .n_dims = 2,
                                           .shape = {t->n, (uint64_t)t->items[i].cols}};
    int code = file_writer_open(&w, opt.output, &err) ? failed(&err) : EXIT_DONE;
    if (!code) {
        code = write_items(t, &w, d, &err);
        if (code)
            file_writer_abort(&w);
        else if (file_writer_commit(&w, &err))
            code = failed(&err);
    }
    mem_free(d);
    return code;
}

/* Names the first value that is no number, in the first intermediate that has one. The file is written all the same, to look at. */
static int check_finite(const struct trace *t)
{
    for (size_t i = 0; i < t->n_items; i++) {
        const struct intermediate *item = &t->items[i];
        for (size_t k = 0; k < t->n * (size_t)item->cols; k++)
            if (!isfinite(item->data[k]))
                return failure("%s: holds %s at [%zu, %zu], and what follows may", item->name,
                               isnan(item->data[k]) ? "NaN" : "infinity", k / (size_t)item->cols,
                               k % (size_t)item->cols);
    }
    return EXIT_DONE;
}

static void report(const struct trace *t, const gpt2q_model *model)
{
    char name[SAFE_NAME], output[SAFE_NAME];
    if (!opt.json) {
        if (!opt.model.quiet)
            fprintf(stderr, "%s: %zu intermediates of %zu tokens written to %s\n",
                    safe_name(gpt2q_model_name(model), name), t->n_items, t->n,
                    safe_name(opt.output, output));
        return;
    }
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddItemToObject(doc, "path", json_text(opt.output, strlen(opt.output)));
    cJSON_AddItemToObject(doc, "input_ids", json_ids(t->ids, t->n));
    cJSON *names = cJSON_AddArrayToObject(doc, "tensors");
    for (size_t i = 0; i < t->n_items; i++) cJSON_AddItemToArray(names, cJSON_CreateString(t->items[i].name));
    json_print(doc);
}

static int run_pass(struct trace *t, gpt2q_context *ctx)
{
    gpt2q_error err;
    gpt2q_batch *batch;
    if (gpt2q_batch_create((int32_t)t->n, &batch, &err)) return failed(&err);
    for (size_t i = 0; i < t->n; i++) gpt2q_batch_add(batch, t->ids[i], (int32_t)i, 0, true);
    gpt2q_context_observe(ctx, keep, t);
    gpt2q_status s = gpt2q_decode(ctx, batch, &err);
    gpt2q_batch_free(batch);
    if (s) return failed(&err);
    return t->out_of_memory ? failure("out of memory: the intermediates of %zu tokens do not fit", t->n)
                            : EXIT_DONE;
}

static int trace_ids(struct trace *t, const gpt2q_model *model)
{
    const gpt2q_config *c = gpt2q_model_config(model);
    int64_t n_ctx = opt.model.ctx ? opt.model.ctx : c->n_positions;
    if (t->n == 0 && c->bos_token_id >= 0) t->ids[t->n++] = c->bos_token_id;
    if (t->n == 0) return failure("the prompt is empty and the model has no bos_token_id to stand for it");
    if ((int64_t)t->n > n_ctx)
        return failure("the prompt has %zu tokens but the context only %lld", t->n, (long long)n_ctx);
    t->capacity = (size_t)c->n_layer * 9 + 3;
    t->items = mem_zarray(t->capacity, sizeof *t->items);
    if (!t->items) return failure("out of memory: %zu intermediates", t->capacity);
    gpt2q_context *ctx;
    int code = create_context(&opt.model, model, 1, (int32_t)t->n, &ctx);
    if (code) return code;
    code = run_pass(t, ctx);
    gpt2q_context_free(ctx);
    if (!code) code = write_trace(t);
    if (!code) report(t, model);
    if (!code) code = check_finite(t);
    return code;
}

static int ids_of(const gpt2q_model *model, const char *text, size_t n, struct trace *t)
{
    gpt2q_error err;
    if (opt.ids) {
        int code = parse_ids(text, &t->ids, &t->n);
        if (!code && !t->n) { /* room for bos */
            mem_free(t->ids);
            t->ids = mem_array(1, sizeof *t->ids);
        }
        return code;
    }
    size_t capacity = model_max_ids(model, n);
    t->ids = mem_array(capacity + 1, sizeof *t->ids);
    if (!t->ids) return failure("out of memory: a prompt of %zu bytes", n);
    return gpt2q_tokenize(model, text, n, 0, t->ids, capacity, &t->n, &err) ? failed(&err) : EXIT_DONE;
}

static int check_outputs(void)
{
    struct outputs o = {0};
    outputs_read_model(&o, opt.model.model);
    outputs_read(&o, "--file", opt.file);
    outputs_write(&o, "--output", opt.output);
    outputs_write(&o, "--json", opt.json ? "-" : NULL);
    return outputs_check(&o);
}

static int run(int argc, char **argv)
{
    char *text;
    size_t n;
    if (!opt.output) return usage_error("--output FILE is needed");
    int code = model_options_check_uses(&opt.model);
    if (!code) code = check_outputs();
    if (!code) code = read_prompt(argc, argv, opt.file, &text, &n);
    if (code) return code;
    gpt2q_model *model;
    struct trace t = {0};
    code = open_model(&opt.model, opt.ids, &model);
    if (!code) code = ids_of(model, text, n, &t);
    if (!code) code = trace_ids(&t, model);
    for (size_t i = 0; i < t.n_items; i++) mem_free(t.items[i].data);
    mem_free(t.items);
    mem_free(t.ids);
    mem_free(text);
    gpt2q_model_close(model);
    return code;
}

const struct command command_trace = {
    .name = "trace",
    .arguments = "PROMPT",
    .summary = "every intermediate of a forward pass",
    .description = "Writes input_ids and every intermediate, float32 (tokens, width): embed, then for each "
                   "block N h.N.ln_1, h.N.attn.c_attn,\n"
                   "h.N.attn.heads, h.N.attn.c_proj, h.N.ln_2, h.N.mlp.c_fc, h.N.mlp.act, h.N.mlp.c_proj, "
                   "h.N.out, then ln_f and logits.\n",
    .examples = "  gpt2q trace -q f32 -o trace.safetensors \"The quick brown fox\"\n"
                "  gpt2q trace -m gpt2 --ids \"464 2068 7586\" -o trace.safetensors\n",
    .options = options,
    .run = run,
};
