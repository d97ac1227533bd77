#include "app/batch/input.h"
#include "app/common.h"
#include "base/memory.h"
#include <float.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 32
#define PROMPTS_MAX    2048 /* of one OpenAI line */
#define ANY            INT64_MAX

struct parser {
    struct batch_line *line;
    const struct batch_defaults *defaults;
    const char *name; /* "line 3", for messages */
    gpt2q_error *err;
};

/* ---- formats ---- */

enum batch_format batch_format_of(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && (text[i] == ' ' || text[i] == '\t')) i++;
    if (i == n || text[i] != '{') return BATCH_TEXT;
    cJSON *document;
    enum batch_format format = BATCH_JSONL;
    if (json_parse(text, n, "line 1", &document, NULL)) return format; /* a bad line of JSON is no prompt */
    if (cJSON_GetObjectItemCaseSensitive(document, "body") ||
        cJSON_GetObjectItemCaseSensitive(document, "custom_id"))
        format = BATCH_OPENAI;
    cJSON_Delete(document);
    return format;
}

/* ---- prompts ---- */

static gpt2q_status add_prompts(struct parser *p, size_t n)
{
    p->line->prompts = mem_zarray(n, sizeof *p->line->prompts);
    if (!p->line->prompts) return error_memory(p->err, p->name, n * sizeof *p->line->prompts);
    p->line->n_prompts = n;
    return GPT2Q_OK;
}

static gpt2q_status prompt_of_text(struct parser *p, struct batch_prompt *prompt, const char *text, size_t n)
{
    gpt2q_error reason;
    prompt->text = text;
    prompt->n = n;
    if (!p->defaults->ids || p->line->format == BATCH_OPENAI) return GPT2Q_OK;
    if (memchr(text, 0, n))
        return error_set(p->err, GPT2Q_FORMAT, "%s: a NUL byte stands in the ids", p->name);
    gpt2q_status s = ids_of_text(text, &prompt->ids, &prompt->n_ids, &reason);
    return s ? error_set(p->err, s, "%s: %s", p->name, reason.message) : GPT2Q_OK;
}

static gpt2q_status prompt_of_ids(struct parser *p, struct batch_prompt *prompt, const cJSON *array)
{
    size_t n = (size_t)cJSON_GetArraySize(array);
    prompt->ids = mem_array(n, sizeof *prompt->ids);
    if (!prompt->ids) return error_memory(p->err, p->name, n * sizeof *prompt->ids);
    for (const cJSON *item = array->child; item; item = item->next) {
        double v = item->valuedouble;
        if (!cJSON_IsNumber(item) || v < 0 || v > INT32_MAX || v != (double)(int32_t)v)
            return error_set(p->err, GPT2Q_FORMAT,
                             "%s: prompt must be a text or an array of ids, entry %zu is no id", p->name,
                             prompt->n_ids + 1);
        prompt->ids[prompt->n_ids++] = (int32_t)v;
    }
    return GPT2Q_OK;
}

static gpt2q_status one_prompt(struct parser *p, struct batch_prompt *prompt, const cJSON *item)
{
    if (cJSON_IsString(item)) return prompt_of_text(p, prompt, item->valuestring, strlen(item->valuestring));
    if (cJSON_IsArray(item)) return prompt_of_ids(p, prompt, item);
    return error_set(p->err, GPT2Q_FORMAT, "%s: prompt must be a text or an array of ids", p->name);
}

/* string | [int]; and for OpenAI also [string] | [[int]]. */
static gpt2q_status parse_prompt(struct parser *p, const cJSON *object)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, "prompt");
    bool openai = p->line->format == BATCH_OPENAI;
    if (!item && !openai) return error_set(p->err, GPT2Q_FORMAT, "%s: prompt is missing", p->name);
    bool many = openai && cJSON_IsArray(item) && item->child && !cJSON_IsNumber(item->child);
    size_t n = many ? (size_t)cJSON_GetArraySize(item) : 1;
    if (n > PROMPTS_MAX)
        return error_set(p->err, GPT2Q_FORMAT, "%s: prompt has %zu entries where %d are possible", p->name, n,
                         PROMPTS_MAX);
    gpt2q_status s = add_prompts(p, n);
    if (s) return s;
    if (!item ||
        (openai &&
         cJSON_IsNull(item))) { /* the API's default, <|endoftext|>, is what an empty prompt stands for */
        p->line->prompts[0].text = "";
        return GPT2Q_OK;
    }
    if (!many) return one_prompt(p, &p->line->prompts[0], item);
    item = item->child;
    for (size_t i = 0; i < n && !s; i++, item = item->next) s = one_prompt(p, &p->line->prompts[i], item);
    return s;
}

/* ---- fields ---- */

static gpt2q_status integer(struct parser *p, const cJSON *o, const char *key, int64_t min, int64_t max,
                            int32_t *out)
{
    int64_t v;
    bool present;
    gpt2q_status s = json_integer(o, key, p->name, min, max, &v, &present, p->err);
    if (!s && present) *out = v < INT32_MAX ? (int32_t)v : INT32_MAX;
    return s;
}

static gpt2q_status real(struct parser *p, const cJSON *o, const char *key, double min, double max,
                         double *out)
{
    bool present;
    double v;
    gpt2q_status s = json_number(o, key, p->name, min, max, &v, &present, p->err);
    if (!s && present) *out = v;
    return s;
}

static gpt2q_status number(struct parser *p, const cJSON *o, const char *key, double min, double max,
                           float *out)
{
    double v = (double)*out;
    gpt2q_status s = real(p, o, key, min, max, &v);
    if (!s) *out = (float)v;
    return s;
}

static gpt2q_status boolean(struct parser *p, const cJSON *o, const char *key, bool *out)
{
    bool present;
    return json_bool(o, key, p->name, out, &present, p->err);
}

static gpt2q_status seed(struct parser *p, const cJSON *o, int64_t min)
{
    int64_t v;
    bool present;
    gpt2q_status s = json_integer(o, "seed", p->name, min, ANY, &v, &present, p->err);
    if (!s && present) p->line->request.sampling.seed = (uint64_t)v;
    return s;
}

static gpt2q_status parse_stop(struct parser *p, const cJSON *o)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, "stop");
    gpt2q_request *r = &p->line->request;
    if (!item || cJSON_IsNull(item)) return GPT2Q_OK;
    r->stop = p->line->stop;
    r->n_stop = 0;
    bool one = cJSON_IsString(item);
    if (!one && !cJSON_IsArray(item))
        return error_set(p->err, GPT2Q_FORMAT, "%s: stop must be a text or an array of texts", p->name);
    for (item = one ? item : item->child; item; item = one ? NULL : item->next) {
        if (!cJSON_IsString(item) || !*item->valuestring)
            return error_set(p->err, GPT2Q_FORMAT,
                             "%s: stop must be a text or an array of texts, entry %zu is none or empty",
                             p->name, r->n_stop + 1);
        if (r->n_stop == BATCH_STOPS_MAX)
            return error_set(p->err, GPT2Q_FORMAT, "%s: stop has more than %d entries", p->name,
                             BATCH_STOPS_MAX);
        p->line->stop[r->n_stop++] = item->valuestring;
    }
    return GPT2Q_OK;
}

static gpt2q_status parse_truncate(struct parser *p, const cJSON *o)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, "truncate");
    if (!item || cJSON_IsNull(item)) return GPT2Q_OK;
    const char *word = cJSON_IsString(item) ? item->valuestring : "";
    if (strcmp(word, "error") && strcmp(word, "left"))
        return error_set(p->err, GPT2Q_FORMAT, "%s: truncate must be \"error\" or \"left\"", p->name);
    p->line->request.truncate_left = *word == 'l';
    return GPT2Q_OK;
}

/* Refuses keys that are not in `known`, by name. */
static gpt2q_status check_keys(struct parser *p, const cJSON *o, const char *const *known, size_t n)
{
    for (const cJSON *item = o->child; item; item = item->next) {
        size_t i = 0;
        while (i < n && strcmp(item->string, known[i])) i++;
        if (i < n) continue;
        const char *near = nearest_name(item->string, known, n);
        return error_set(p->err, GPT2Q_FORMAT, "%s: unknown field '%.60s'%s%s%s", p->name, item->string,
                         near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return GPT2Q_OK;
}
#define CHECK_KEYS(p, object, known) check_keys(p, object, known, sizeof known / sizeof *known)

static gpt2q_status parse_id(struct parser *p, const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (!item || cJSON_IsNull(item)) return GPT2Q_OK;
    if (!cJSON_IsString(item)) return error_set(p->err, GPT2Q_FORMAT, "%s: %s must be a text", p->name, key);
    p->line->id = item->valuestring;
    return GPT2Q_OK;
}

/* ---- JSON lines ---- */

static gpt2q_status parse_jsonl(struct parser *p, const cJSON *o)
{
    static const char *const known[] = {"prompt",
                                        "max_tokens",
                                        "id",
                                        "temperature",
                                        "seed",
                                        "stop",
                                        "logprobs",
                                        "echo",
                                        "n",
                                        "top_k",
                                        "top_p",
                                        "min_p",
                                        "repetition_penalty",
                                        "ignore_eos",
                                        "truncate"};
    gpt2q_request *r = &p->line->request;
    *r = p->defaults->request;
    gpt2q_status s = parse_id(p, o, "id");
    if (!s) s = CHECK_KEYS(p, o, known);
    if (!s) s = integer(p, o, "max_tokens", 0, ANY, &r->max_tokens);
    if (!s) s = integer(p, o, "n", 1, ANY, &r->n_samples);
    if (!s) s = integer(p, o, "logprobs", 0, ANY, &r->n_logprobs);
    if (!s) s = integer(p, o, "top_k", 0, ANY, &r->sampling.top_k);
    if (!s) s = number(p, o, "temperature", 0, 1e6, &r->sampling.temperature);
    if (!s) s = real(p, o, "top_p", 1e-30, 1, &r->sampling.top_p);
    if (!s) s = number(p, o, "min_p", 0, 1, &r->sampling.min_p);
    if (!s) s = number(p, o, "repetition_penalty", 1e-6, 1e6, &r->sampling.repetition_penalty);
    if (!s) s = boolean(p, o, "echo", &r->echo);
    if (!s) s = boolean(p, o, "ignore_eos", &r->ignore_eos);
    if (!s) s = parse_truncate(p, o);
    if (!s) s = seed(p, o, 0);
    if (!s) s = parse_stop(p, o);
    return s ? s : parse_prompt(p, o);
}

/* ---- OpenAI batch lines ---- */

/* A value that asks for nothing: absent, null, false, 0, "", [] or {}. */
static bool asks_nothing(const cJSON *item)
{
    if (!item || cJSON_IsNull(item) || cJSON_IsFalse(item)) return true;
    if (cJSON_IsNumber(item)) return item->valuedouble == 0;
    if (cJSON_IsString(item)) return !*item->valuestring;
    return (cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child;
}

static gpt2q_status refuse_unsupported(struct parser *p, const cJSON *body)
{
    static const char *const unsupported[] = {
        "frequency_penalty", "presence_penalty", "logit_bias", "suffix", "stream", "stream_options"};
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (!asks_nothing(cJSON_GetObjectItemCaseSensitive(body, unsupported[i])))
            return error_set(p->err, GPT2Q_UNSUPPORTED, "%s: %s is not supported", p->name, unsupported[i]);
    int32_t best_of = p->line->request.n_samples;
    gpt2q_status s = integer(p, body, "best_of", 1, ANY, &best_of);
    if (!s && best_of != p->line->request.n_samples)
        s = error_set(p->err, GPT2Q_UNSUPPORTED, "%s: best_of is not supported unless it equals n", p->name);
    return s;
}

static gpt2q_status parse_body(struct parser *p, const cJSON *body)
{
    static const char *const known[] = {"model",
                                        "prompt",
                                        "best_of",
                                        "echo",
                                        "frequency_penalty",
                                        "presence_penalty",
                                        "logit_bias",
                                        "logprobs",
                                        "max_tokens",
                                        "n",
                                        "seed",
                                        "stop",
                                        "stream",
                                        "stream_options",
                                        "suffix",
                                        "temperature",
                                        "top_p",
                                        "user",
                                        "top_k",
                                        "min_p",
                                        "repetition_penalty",
                                        "ignore_eos"};
    gpt2q_request *r = &p->line->request;
    gpt2q_status s = CHECK_KEYS(p, body, known);
    if (!s && !cJSON_IsString(cJSON_GetObjectItemCaseSensitive(body, "model")))
        s = error_set(p->err, GPT2Q_FORMAT, "%s: model must be a text", p->name);
    if (!s) s = integer(p, body, "max_tokens", 0, ANY, &r->max_tokens);
    if (!s) s = integer(p, body, "n", 1, 128, &r->n_samples);
    if (!s) s = integer(p, body, "logprobs", 0, 5, &r->n_logprobs);
    if (!s) s = integer(p, body, "top_k", 0, ANY, &r->sampling.top_k);
    if (!s) s = number(p, body, "temperature", 0, 2, &r->sampling.temperature);
    if (!s) s = real(p, body, "top_p", 0, 1, &r->sampling.top_p);
    if (!s) s = number(p, body, "min_p", 0, 1, &r->sampling.min_p);
    if (!s) s = number(p, body, "repetition_penalty", 1e-6, 1e6, &r->sampling.repetition_penalty);
    if (!s) s = boolean(p, body, "echo", &r->echo);
    if (!s) s = boolean(p, body, "ignore_eos", &r->ignore_eos);
    if (!s) s = seed(p, body, -ANY);
    if (!s) s = parse_stop(p, body);
    if (!s && r->n_stop > 4)
        s = error_set(p->err, GPT2Q_FORMAT, "%s: stop has %zu entries where 4 are possible", p->name,
                      r->n_stop);
    if (!s) s = refuse_unsupported(p, body);
    if (r->sampling.top_p == 0)
        r->sampling.top_p = (double)FLT_MIN; /* the API's 0: the likeliest token alone */
    return s ? s : parse_prompt(p, body);
}

static gpt2q_status expect_text(struct parser *p, const cJSON *o, const char *key, const char *expected)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    if (cJSON_IsString(item) && !strcmp(item->valuestring, expected)) return GPT2Q_OK;
    return error_set(p->err, GPT2Q_UNSUPPORTED, "%s: %s must be \"%s\"", p->name, key, expected);
}

static gpt2q_status parse_openai(struct parser *p, const cJSON *o)
{
    static const char *const known[] = {"custom_id", "method", "url", "body"};
    p->line->request = gpt2q_request_default();
    p->line->request.speculate = p->defaults->request.speculate; /* no part of the API, nor of the answer */
    p->line->request.max_tokens = 16;
    p->line->request.sampling.temperature = 1;
    gpt2q_status s = parse_id(p, o, "custom_id");
    if (!s && !p->line->id) s = error_set(p->err, GPT2Q_FORMAT, "%s: custom_id is missing", p->name);
    if (!s) s = CHECK_KEYS(p, o, known);
    if (!s) s = expect_text(p, o, "method", "POST");
    if (!s) s = expect_text(p, o, "url", "/v1/completions");
    const cJSON *body = cJSON_GetObjectItemCaseSensitive(o, "body");
    if (!s && !cJSON_IsObject(body))
        s = error_set(p->err, GPT2Q_FORMAT, "%s: body must be an object", p->name);
    return s ? s : parse_body(p, body);
}

/* ---- a line ---- */

static gpt2q_status parse_text(struct parser *p, const char *text, size_t n)
{
    struct batch_line *line = p->line;
    line->request = p->defaults->request;
    line->text = mem_memdup(text, n);
    if (!line->text) return error_memory(p->err, p->name, n);
    gpt2q_status s = add_prompts(p, 1);
    return s ? s : prompt_of_text(p, &line->prompts[0], line->text, n);
}

gpt2q_status batch_line_parse(struct batch_line *line, enum batch_format format, const char *text, size_t n,
                              uint64_t index, const struct batch_defaults *defaults, gpt2q_error *err)
{
    char name[NAME_MAX_BYTES];
    struct parser p = {.line = line, .defaults = defaults, .name = name, .err = err};
    snprintf(name, sizeof name, "line %llu", (unsigned long long)index + 1);
    *line = (struct batch_line){.format = format, .index = index};
    if (format == BATCH_TEXT) return parse_text(&p, text, n);
    gpt2q_status s = json_parse(text, n, name, &line->document, err);
    if (s) return s;
    if (!cJSON_IsObject(line->document))
        return error_set(err, GPT2Q_FORMAT, "%s: must be an object, {\"prompt\": ...}", name);
    return (format == BATCH_OPENAI ? parse_openai : parse_jsonl)(&p, line->document);
}

void batch_line_free(struct batch_line *line)
{
    for (size_t i = 0; i < line->n_prompts; i++) mem_free(line->prompts[i].ids);
    mem_free(line->prompts);
    mem_free(line->text);
    cJSON_Delete(line->document);
    *line = (struct batch_line){0};
}
