#include "app/batch/answer.h"
#include "app/common.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <stdio.h>
#include <string.h>

gpt2q_status batch_answer_begin(struct batch_answer *a, const gpt2q_model *model,
                                const struct batch_line *line, gpt2q_error *err)
{
    size_t n = line->n_prompts * (size_t)line->request.n_samples;
    *a = (struct batch_answer){.model = model, .line = line, .n_choices = n};
    a->choices = mem_zarray(n, sizeof *a->choices);
    return a->choices ? GPT2Q_OK : error_memory(err, "an answer", n * sizeof *a->choices);
}

void batch_answer_refuse(struct batch_answer *a, const gpt2q_error *err)
{
    if (!a->error.status) a->error = *err;
}

void batch_answer_free(struct batch_answer *a)
{
    for (size_t i = 0; a->choices && i < a->n_choices; i++) cJSON_Delete(a->choices[i]);
    mem_free(a->choices);
    *a = (struct batch_answer){0};
}

/* ---- text ---- */

struct answer_text {
    char *bytes;
    size_t n, capacity;
};

static void append(struct answer_text *t, const char *bytes, size_t n)
{
    if (t->n + n > t->capacity) {
        size_t capacity = 2 * (t->n + n);
        char *larger = mem_grow(t->bytes, t->n, capacity);
        if (!larger) exit_out_of_memory();
        t->bytes = larger;
        t->capacity = capacity;
    }
    if (n) memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
}

/* The completion, behind the prompt if that is wanted: as it was given, or the text of its ids. */
static cJSON *text_of(const struct batch_answer *a, const struct batch_prompt *prompt, const gpt2q_result *r)
{
    struct answer_text t = {0};
    if (a->line->request.echo && prompt->ids) {
        for (size_t i = 0; i < r->n_prompt; i++) {
            size_t n;
            const char *bytes = gpt2q_token_bytes(a->model, r->prompt_ids[i], &n);
            if (bytes) append(&t, bytes, n);
        }
    } else if (a->line->request.echo) {
        append(&t, prompt->text, prompt->n);
    }
    append(&t, r->text, r->text_len);
    cJSON *item = json_text(t.bytes ? t.bytes : "", t.n);
    mem_free(t.bytes);
    return item;
}

/* ---- gpt2q's own shape ---- */

static cJSON *own_choice(const struct batch_answer *a, const struct batch_prompt *prompt, int32_t sample,
                         const gpt2q_result *r)
{
    const gpt2q_request *q = &a->line->request;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "ids", json_ids(r->ids, r->n_ids));
    cJSON_AddItemToObject(o, "text", text_of(a, prompt, r));
    cJSON_AddStringToObject(o, "finish_reason", finish_name(r->finish));
    if (q->n_samples > 1) {
        char seed[24];
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)(q->sampling.seed + (uint64_t)sample));
        cJSON_AddRawToObject(o, "seed", seed);
    }
    if (q->n_logprobs >= 0)
        cJSON_AddItemToObject(o, "logprobs", json_logprobs(r->positions, r->n_positions, q->n_logprobs));
    return o;
}

static void move(cJSON *to, cJSON *from, const char *key)
{
    cJSON *item = cJSON_DetachItemFromObject(from, key);
    if (item) cJSON_AddItemToObject(to, key, item);
}

static void own_choices(cJSON *o, struct batch_answer *a)
{
    cJSON *first = a->choices[0], *array;
    bool one = a->n_choices == 1;
    if (one) {
        move(o, first, "ids");
        move(o, first, "text");
    } else {
        array = cJSON_AddArrayToObject(o, "samples");
        for (size_t i = 0; i < a->n_choices; i++) {
            cJSON_AddItemToArray(array, a->choices[i]);
            a->choices[i] = NULL;
        }
    }
    cJSON_AddNumberToObject(o, "prompt_tokens", (double)a->prompt_tokens);
    cJSON_AddNumberToObject(o, "completion_tokens", (double)a->completion_tokens);
    if (!one) return;
    move(o, first, "finish_reason");
    move(o, first, "logprobs");
}

static void add_id(cJSON *o, const char *key, const char *id)
{
    if (id)
        cJSON_AddStringToObject(o, key, id);
    else
        cJSON_AddNullToObject(o, key);
}

static const char *error_code(gpt2q_status status)
{
    switch (status) {
    case GPT2Q_OUT_OF_MEMORY: return "out_of_memory";
    case GPT2Q_NON_FINITE: return "non_finite";
    default: return "invalid_request";
    }
}

static void add_error(cJSON *o, const gpt2q_error *err)
{
    cJSON *e = cJSON_AddObjectToObject(o, "error");
    cJSON_AddStringToObject(e, "code", error_code(err->status));
    cJSON_AddItemToObject(e, "message", json_text(err->message, strlen(err->message)));
}

static cJSON *own_answer(struct batch_answer *a)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "index", (double)a->line->index);
    add_id(o, "id", a->line->id);
    if (a->error.status) {
        add_error(o, &a->error);
        return o;
    }
    const struct batch_prompt *prompt = &a->line->prompts[0];
    cJSON_AddItemToObject(o, "prompt",
                          prompt->text ? json_text(prompt->text, prompt->n)
                                       : json_ids(prompt->ids, prompt->n_ids));
    own_choices(o, a);
    return o;
}

/* ---- OpenAI's shape ---- */

/* The API's name of a token that is no text by itself: bytes:\xe2\x80. */
static cJSON *token_name(const gpt2q_model *model, int32_t id)
{
    size_t n;
    const char *bytes = gpt2q_token_bytes(model, id, &n);
    if (!bytes) return cJSON_CreateString("");
    if (utf8_valid_prefix(bytes, n) == n && !memchr(bytes, 0, n)) return json_text(bytes, n);
    struct answer_text t = {0};
    append(&t, "bytes:", 6);
    for (size_t i = 0; i < n; i++) {
        char hex[8];
        append(&t, hex, (size_t)snprintf(hex, sizeof hex, "\\x%02x", (unsigned char)bytes[i]));
    }
    append(&t, "", 1);
    cJSON *item = cJSON_CreateString(t.bytes);
    mem_free(t.bytes);
    return item;
}

/* Characters that begin in a token. */
static size_t characters(const gpt2q_model *model, int32_t id)
{
    size_t n, count = 0;
    const char *bytes = gpt2q_token_bytes(model, id, &n);
    for (size_t i = 0; bytes && i < n; i++) count += ((unsigned char)bytes[i] & 0xC0) != 0x80;
    return count;
}

static void add_named(cJSON *object, const gpt2q_model *model, int32_t id, float logprob)
{
    cJSON *name = token_name(model, id);
    if (!cJSON_GetObjectItemCaseSensitive(object, name->valuestring))
        cJSON_AddItemToObject(object, name->valuestring, json_real((double)logprob));
    cJSON_Delete(name);
}

/* The legacy shape: arrays of one length. */
static cJSON *legacy_logprobs(const gpt2q_model *model, const gpt2q_result *r, int32_t k)
{
    cJSON *o = cJSON_CreateObject();
    cJSON *tokens = cJSON_AddArrayToObject(o, "tokens"),
          *logprobs = cJSON_AddArrayToObject(o, "token_logprobs");
    cJSON *tops = cJSON_AddArrayToObject(o, "top_logprobs"),
          *offsets = cJSON_AddArrayToObject(o, "text_offset");
    size_t offset = 0;
    for (size_t i = 0; i < r->n_positions; i++) {
        const gpt2q_position *p = &r->positions[i];
        cJSON *top = p->top ? cJSON_CreateObject() : cJSON_CreateNull();
        for (int32_t j = 0; p->top && j < k; j++) add_named(top, model, p->top[j].id, p->top[j].logprob);
        if (p->top) add_named(top, model, p->id, p->logprob);
        cJSON_AddItemToArray(tokens, token_name(model, p->id));
        cJSON_AddItemToArray(logprobs, json_real((double)p->logprob));
        cJSON_AddItemToArray(tops, top);
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)offset));
        offset += characters(model, p->id);
    }
    return o;
}

static cJSON *openai_choice(const struct batch_answer *a, size_t number, const struct batch_prompt *prompt,
                            const gpt2q_result *r)
{
    cJSON *o = cJSON_CreateObject();
    int32_t k = a->line->request.n_logprobs;
    cJSON_AddItemToObject(o, "text", text_of(a, prompt, r));
    cJSON_AddNumberToObject(o, "index", (double)number);
    cJSON_AddItemToObject(o, "logprobs", k < 0 ? cJSON_CreateNull() : legacy_logprobs(a->model, r, k));
    cJSON_AddStringToObject(o, "finish_reason", finish_name(r->finish));
    return o;
}

static void add_numbered(cJSON *o, const char *key, const char *prefix, uint64_t index)
{
    char id[48];
    snprintf(id, sizeof id, "%s%llu", prefix, (unsigned long long)index);
    cJSON_AddStringToObject(o, key, id);
}

static void add_response(cJSON *o, struct batch_answer *a)
{
    cJSON *response = cJSON_AddObjectToObject(o, "response");
    cJSON_AddNumberToObject(response, "status_code", 200);
    add_numbered(response, "request_id", "req_", a->line->index);
    cJSON *body = cJSON_AddObjectToObject(response, "body");
    const char *name = gpt2q_model_name(a->model);
    add_numbered(body, "id", "cmpl-", a->line->index);
    cJSON_AddStringToObject(body, "object", "text_completion");
    cJSON_AddNumberToObject(body, "created", 0);
    cJSON_AddItemToObject(body, "model", json_text(name, strlen(name)));
    cJSON *choices = cJSON_AddArrayToObject(body, "choices"), *usage;
    for (size_t i = 0; i < a->n_choices; i++) {
        cJSON_AddItemToArray(choices, a->choices[i]);
        a->choices[i] = NULL;
    }
    usage = cJSON_AddObjectToObject(body, "usage");
    cJSON_AddNumberToObject(usage, "prompt_tokens", (double)a->prompt_tokens);
    cJSON_AddNumberToObject(usage, "completion_tokens", (double)a->completion_tokens);
    cJSON_AddNumberToObject(usage, "total_tokens", (double)(a->prompt_tokens + a->completion_tokens));
}

static cJSON *openai_answer(struct batch_answer *a)
{
    cJSON *o = cJSON_CreateObject();
    add_numbered(o, "id", "batch_req_", a->line->index);
    add_id(o, "custom_id", a->line->id);
    if (a->error.status) {
        cJSON_AddNullToObject(o, "response");
        add_error(o, &a->error);
        return o;
    }
    add_response(o, a);
    cJSON_AddNullToObject(o, "error");
    return o;
}

/* ---- either ---- */

void batch_answer_add(struct batch_answer *a, size_t prompt, int32_t sample, const gpt2q_result *r)
{
    const struct batch_prompt *p = &a->line->prompts[prompt];
    size_t number = prompt * (size_t)a->line->request.n_samples + (size_t)sample;
    a->n_ended++;
    if (sample == 0) a->prompt_tokens += r->n_prompt;
    a->completion_tokens += r->n_ids;
    if (r->finish == GPT2Q_FINISH_ERROR)
        batch_answer_refuse(a, &r->error);
    else
        a->choices[number] =
            a->line->format == BATCH_OPENAI ? openai_choice(a, number, p, r) : own_choice(a, p, sample, r);
}

char *batch_answer_print(struct batch_answer *a)
{
    cJSON *o = a->line->format == BATCH_OPENAI ? openai_answer(a) : own_answer(a);
    char *text = cJSON_PrintUnformatted(o);
    cJSON_Delete(o);
    if (!text) exit_out_of_memory();
    return text;
}
