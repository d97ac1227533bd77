#include "engine/model.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/task.h"
#include "base/threads.h"
#include "engine/internal.h"
#include "model/container.h"
#include "model/gpt2q_read.h"
#include "model/gpt2q_tokenizer.h"
#include "model/locate.h"
#include <stdlib.h>
#include <string.h>

gpt2q_model_params gpt2q_model_params_default(void) { return (gpt2q_model_params){0}; }

/* "tales-7m" of "models/tales-7m/"; a Hugging Face snapshot is named after its repository. */
static char *name_of(const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    const char *snapshots = strstr(path, "/snapshots/"), *hub = strstr(path, "models--");
    size_t begin = end;
    if (hub && snapshots && hub < snapshots) {
        end = (size_t)(snapshots - path);
        const char *dashes = strstr(hub + strlen("models--"), "--");
        begin = dashes && dashes < snapshots ? (size_t)(dashes - path) + 2
                                             : (size_t)(hub - path) + strlen("models--");
    } else {
        while (begin > 0 && path[begin - 1] != '/') begin--;
    }
    return mem_memdup(path + begin, end - begin);
}

/* A file that is quantized already stays as it is: codes of codes would be worse than either. */
static gpt2q_status check_request(const char *path, const gpt2q_model_params *params, const gpt2q_model *m,
                                  gpt2q_error *err)
{
    char stored[SCHEME_TEXT_MAX];
    struct scheme asked;
    const struct gpt2_weights *w = &m->weights;
    if (params->n_overrides)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: is quantized already, so that the override \"%s\" cannot be applied", path,
                         params->overrides[0]);
    if (!params->scheme) return GPT2Q_OK;
    gpt2q_status s = scheme_parse(params->scheme, &asked, err);
    if (s || (!w->mixed && scheme_equal(asked, w->scheme))) return s;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "%s: is quantized already, as %s, and cannot be held as %s; quantize the original model",
                     path, w->mixed ? "mixed" : scheme_print(w->scheme, stored), params->scheme);
}

static gpt2q_status load_file(const char *path, const gpt2q_model_params *params, gpt2q_model *m,
                              gpt2q_error *err)
{
    struct gpt2q_file f;
    gpt2q_status s = gpt2q_file_open(path, &f, err);
    if (s) return s;
    s = gpt2q_tokenizer_open(&f.st, &m->tokenizer, err);
    if (!s) s = gpt2q_file_weights(&f, &m->weights, err);
    gpt2q_file_close(&f);
    if (!s) s = check_request(path, params, m, err);
    if (s || m->tokenizer || params->weights_only) return s;
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: holds no tokenizer, so text has no ids", path);
}

/* Reading a vocabulary of GPT-2's size takes as long as holding the weights, and the two share nothing. */
struct vocabulary_reading {
    const char *path;
    bool
        optional; /* without a vocabulary there is no text. One that a GGUF file has must be right all the same */
    struct tokenizer *tokenizer;
    gpt2q_status status;
    gpt2q_error err;
};

static void *read_tokenizer(void *arg)
{
    struct vocabulary_reading *r = arg;
    struct gpt2q_file none;
    r->status = model_tokenizer_open(r->path, &none, &r->tokenizer, &r->err);
    const bool has_none = r->status == GPT2Q_INVALID_ARGUMENT || file_is_directory(r->path);
    if (r->optional && has_none) r->status = GPT2Q_OK;
    return NULL;
}

/* A directory or a GGUF file: tensors that are bound by name and held one by one. What is wrong with the vocabulary is said first,
 * whichever is found first. */
static gpt2q_status load_tensors(const char *path, const gpt2q_model_params *params, gpt2q_model *m,
                                 gpt2q_error *err)
{
    struct weights_params wp = {.overrides = params->overrides,
                                .n_overrides = params->n_overrides,
                                .as_stored = !params->scheme,
                                .requantize = params->requantize,
                                .isa = m->isa,
                                .n_threads = params->n_threads > 0 ? params->n_threads : threads_default()};
    struct vocabulary_reading reading = {.path = path, .optional = params->weights_only};
    gpt2q_status s = scheme_parse(params->scheme ? params->scheme : "i8", &wp.scheme, err);
    if (s) return s;
    pthread_t task;
    const bool beside = wp.n_threads > 1 && task_start(&task, read_tokenizer, &reading);
    if (!beside) read_tokenizer(&reading);
    if (beside || !reading.status) s = weights_load(path, &wp, &m->weights, err);
    if (beside) task_join(task);
    m->tokenizer = reading.tokenizer;
    if (reading.status && err) *err = reading.err;
    return reading.status ? reading.status : s;
}

static gpt2q_status load(const char *path, const gpt2q_model_params *params, gpt2q_model *m, gpt2q_error *err)
{
    const struct container_reader *kind = NULL;
    gpt2q_status s = isa_choose(params->isa, &m->isa, err);
    const bool directory = file_is_directory(path);
    if (!s && !directory) s = container_kind(path, &kind, err);
    return s ? s : (directory || kind == &gguf_reader ? load_tensors : load_file)(path, params, m, err);
}

static gpt2q_status finish(gpt2q_model *m, const char *path, gpt2q_error *err)
{
    if (m->weights.mixed)
        strcpy(m->scheme, "mixed");
    else
        scheme_print(m->weights.scheme, m->scheme);
    m->name = name_of(path);
    return m->name ? GPT2Q_OK : error_memory(err, "a model", strlen(path));
}

gpt2q_status gpt2q_model_open(const char *path, const gpt2q_model_params *params, gpt2q_model **out,
                              gpt2q_error *err)
{
    gpt2q_model_params defaults = gpt2q_model_params_default();
    *out = NULL;
    gpt2q_model *m = mem_zalloc(sizeof *m);
    if (!m) return error_memory(err, "a model", sizeof *m);
    threads_retain();
    char *found = NULL;
    gpt2q_status s = model_locate(path, &found, err);
    if (!s) s = load(found, params ? params : &defaults, m, err);
    if (!s) s = finish(m, found, err);
    mem_free(found);
    if (s) {
        gpt2q_model_close(m);
        return s;
    }
    *out = m;
    return GPT2Q_OK;
}

gpt2q_status model_synthesize(const gpt2q_config *config, const char *name, const gpt2q_model_params *params,
                              gpt2q_model **out, gpt2q_error *err)
{
    *out = NULL;
    gpt2q_model *m = mem_zalloc(sizeof *m);
    if (!m) return error_memory(err, "a model", sizeof *m);
    threads_retain();
    struct weights_params wp = {.n_threads = params->n_threads > 0 ? params->n_threads : threads_default()};
    gpt2q_status s = isa_choose(params->isa, &m->isa, err);
    wp.isa = m->isa;
    if (!s) s = scheme_parse(params->scheme ? params->scheme : "i8", &wp.scheme, err);
    if (!s) s = weights_synthesize(config, &wp, &m->weights, err);
    if (!s) s = finish(m, name, err);
    if (s) {
        gpt2q_model_close(m);
        return s;
    }
    *out = m;
    return GPT2Q_OK;
}

void gpt2q_model_close(gpt2q_model *m)
{
    if (!m) return;
    weights_free(&m->weights);
    tokenizer_free(m->tokenizer);
    mem_free(m->name);
    mem_free(m);
    threads_release();
}

const gpt2q_config *gpt2q_model_config(const gpt2q_model *m) { return &m->weights.config; }
const char *gpt2q_model_name(const gpt2q_model *m) { return m->name; }
const char *gpt2q_model_scheme(const gpt2q_model *m) { return m->scheme; }
const char *gpt2q_model_isa(const gpt2q_model *m) { return m->isa->name; }
uint64_t gpt2q_model_bytes(const gpt2q_model *m) { return m->weights.bytes; }
uint64_t gpt2q_model_parameters(const gpt2q_model *m) { return m->weights.parameters; }
const struct gpt2_weights *model_weights(const gpt2q_model *m) { return &m->weights; }

void model_borrow_matrix(gpt2q_model *m, const gpt2q_model *from, const char *name)
{
    weights_borrow_matrix(&m->weights, &from->weights, name);
}

const struct tokenizer *model_tokenizer(const gpt2q_model *m) { return m->tokenizer; }

size_t model_max_ids(const gpt2q_model *m, size_t len)
{
    return m->tokenizer ? tokenizer_max_ids(m->tokenizer, len) : len;
}

/* A tokenizer may have more tokens than the model has rows. */
static gpt2q_status check_ids(const gpt2q_model *m, const int32_t *ids, size_t n, gpt2q_error *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t len;
        if (ids[i] < m->weights.config.vocab_size) continue;
        const char *bytes = tokenizer_bytes(m->tokenizer, ids[i], &len);
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "the text has the token \"%.*s\", id %d, beyond the model's vocab_size of %d",
                         (int)len, bytes ? bytes : "", (int)ids[i], (int)m->weights.config.vocab_size);
    }
    return GPT2Q_OK;
}

gpt2q_status gpt2q_tokenize(const gpt2q_model *m, const char *text, size_t len, unsigned flags, int32_t *ids,
                            size_t capacity, size_t *n, gpt2q_error *err)
{
    if (!m->tokenizer)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: was opened without a vocabulary, so text has no ids", m->name);
    unsigned how = (flags & GPT2Q_PARSE_SPECIAL ? TOKENIZER_SPECIAL : 0) |
                   (flags & GPT2Q_CONTINUE ? TOKENIZER_CONTINUE : 0);
    gpt2q_status s = tokenizer_encode(m->tokenizer, text, len, how, ids, capacity, n, err);
    if (!s) s = check_ids(m, ids, *n < capacity ? *n : capacity, err);
    if (s) *n = 0;
    if (s || *n <= capacity) return s;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "the text makes %zu ids, more than the %zu there is room for", *n, capacity);
}

const char *gpt2q_token_bytes(const gpt2q_model *m, int32_t id, size_t *len)
{
    if (m->tokenizer) return tokenizer_bytes(m->tokenizer, id, len);
    *len = 0;
    return NULL;
}
