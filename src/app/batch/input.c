#include "app/batch/input.h"
#include "app/common.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>

#define PROMPTS_MAX 2048 /* of one OpenAI line */

struct parser {
    struct batch_line *line;
    const struct batch_defaults *defaults;
    struct openai_error *err;
};

/* ---- formats ---- */

enum batch_format batch_format_of(const char *text, size_t n, bool *certain)
{
    size_t i = 0;
    *certain = true;
    while (i < n && (text[i] == ' ' || text[i] == '\t')) i++;
    if (i == n || text[i] != '{') return BATCH_TEXT;
    cJSON *document;
    enum batch_format format = BATCH_JSONL;
    *certain = !json_parse(text, n, NULL, &document, NULL);
    if (!*certain) return format; /* a bad line of JSON is not a prompt */
    if (cJSON_GetObjectItemCaseSensitive(document, "body") ||
        cJSON_GetObjectItemCaseSensitive(document, "custom_id"))
        format = BATCH_OPENAI;
    cJSON_Delete(document);
    return format;
}

/* ---- text that is ids ---- */

static gpt2q_status ids_of_prompt(struct parser *p, struct prompt *prompt)
{
    gpt2q_error reason;
    if (!p->defaults->ids || !prompt->text) return GPT2Q_OK;
    if (memchr(prompt->text, 0, prompt->n))
        return openai_error_set(p->err, GPT2Q_FORMAT, "invalid_value", "prompt",
                                "a NUL byte stands in the ids");
    gpt2q_status s = ids_of_text(prompt->text, &prompt->ids, &prompt->n_ids, &reason);
    return s ? openai_error_set(p->err, s, "invalid_value", "prompt", "%s", reason.message) : GPT2Q_OK;
}

static gpt2q_status parse_text(struct parser *p, const char *text, size_t n)
{
    struct openai_request *asked = &p->line->asked;
    asked->request = p->defaults->request;
    asked->prompts = mem_zarray(1, sizeof *asked->prompts);
    if (!asked->prompts || !(asked->prompts->text = mem_memdup(text, n))) {
        p->err->code = "out_of_memory";
        return error_memory(&p->err->error, "a line", n);
    }
    asked->n_prompts = 1;
    asked->prompts->n = n;
    return ids_of_prompt(p, asked->prompts);
}

/* ---- JSON lines ---- */

static gpt2q_status parse_truncate(const struct fields *f, gpt2q_request *r)
{
    const cJSON *item = field_find(f, "truncate");
    if (!item) return GPT2Q_OK;
    const char *word = cJSON_IsString(item) ? item->valuestring : "";
    if (strcmp(word, "error") && strcmp(word, "left"))
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "truncate",
                                "truncate must be \"error\" or \"left\"");
    r->truncate_left = *word == 'l';
    return GPT2Q_OK;
}

static gpt2q_status parse_stop(const struct fields *f, struct openai_request *asked)
{
    bool present;
    size_t n;
    gpt2q_status s = field_texts(f, "stop", REQUEST_STOPS_MAX, asked->stops, &n, &present);
    if (s || !present) return s;
    asked->request.stop = (const char *const *)asked->stops;
    asked->request.n_stop = n;
    return GPT2Q_OK;
}

static gpt2q_status parse_numbers(const struct fields *f, gpt2q_request *r)
{
    gpt2q_sampling *o = &r->sampling;
    gpt2q_status s = field_integer(f, "max_tokens", 0, FIELD_ANY, &r->max_tokens);
    if (!s) s = field_integer(f, "n", 1, FIELD_ANY, &r->n_samples);
    if (!s) s = field_integer(f, "logprobs", 0, FIELD_ANY, &r->n_logprobs);
    if (!s) s = field_integer(f, "top_k", 0, FIELD_ANY, &o->top_k);
    if (!s) s = field_float(f, "temperature", 0, 1e6, &o->temperature);
    if (!s) s = field_real(f, "top_p", 1e-30, 1, &o->top_p);
    if (!s) s = field_float(f, "min_p", 0, 1, &o->min_p);
    if (!s) s = field_float(f, "repetition_penalty", 1e-6, 1e6, &o->repetition_penalty);
    if (!s) s = field_seed(f, "seed", 0, &o->seed);
    return s;
}

static gpt2q_status parse_jsonl(struct parser *p, const cJSON *document)
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
    static const struct prompt_rules one = {.most = 1};
    struct fields f = {.object = document, .err = p->err};
    struct openai_request *asked = &p->line->asked;
    asked->request = p->defaults->request;
    gpt2q_status s = field_text(&f, "id", &p->line->id);
    if (!s) s = field_check_names(&f, known, sizeof known / sizeof *known);
    if (!s) s = parse_numbers(&f, &asked->request);
    if (!s) s = field_bool(&f, "echo", &asked->request.echo);
    if (!s) s = field_bool(&f, "ignore_eos", &asked->request.ignore_eos);
    if (!s) s = parse_truncate(&f, &asked->request);
    if (!s) s = parse_stop(&f, asked);
    if (!s) s = field_prompts(&f, "prompt", &one, &asked->prompts, &asked->n_prompts);
    if (!s && !asked->n_prompts)
        s = openai_error_set(p->err, GPT2Q_FORMAT, "invalid_value", "prompt", "prompt is missing");
    return s ? s : ids_of_prompt(p, asked->prompts);
}

/* ---- OpenAI batch lines ---- */

static gpt2q_status expect_text(const struct fields *f, const char *key, const char *expected)
{
    const cJSON *item = field_find(f, key);
    if (cJSON_IsString(item) && !strcmp(item->valuestring, expected)) return GPT2Q_OK;
    return openai_error_set(f->err, GPT2Q_UNSUPPORTED, "invalid_value", key, "%s must be \"%s\"", key,
                            expected);
}

static gpt2q_status parse_openai(struct parser *p, const cJSON *document)
{
    static const char *const known[] = {"custom_id", "method", "url", "body"};
    const struct openai_rules rules = {.prompts = {.many = true, .most = PROMPTS_MAX},
                                       .seed = p->defaults->request.sampling.seed,
                                       .speculate = p->defaults->request.speculate};
    struct fields f = {.object = document, .err = p->err};
    gpt2q_status s = field_text(&f, "custom_id", &p->line->id);
    if (!s && !p->line->id)
        s = openai_error_set(p->err, GPT2Q_FORMAT, "invalid_value", "custom_id", "custom_id is missing");
    if (!s) s = field_check_names(&f, known, sizeof known / sizeof *known);
    if (!s) s = expect_text(&f, "method", "POST");
    if (!s) s = expect_text(&f, "url", "/v1/completions");
    const cJSON *body = field_find(&f, "body");
    if (!s && !cJSON_IsObject(body))
        s = openai_error_set(p->err, GPT2Q_FORMAT, "invalid_type", "body", "body must be an object");
    return s ? s : openai_request_read(body, &rules, &p->line->asked, p->err);
}

/* ---- a line ---- */

static gpt2q_status parse_json(struct parser *p, const char *text, size_t n)
{
    cJSON *document;
    gpt2q_status s = json_parse(text, n, NULL, &document, &p->err->error);
    if (s) return s;
    if (!cJSON_IsObject(document))
        s = openai_error_set(p->err, GPT2Q_FORMAT, "invalid_type", NULL,
                             "must be an object, {\"prompt\": ...}");
    else
        s = (p->line->format == BATCH_OPENAI ? parse_openai : parse_jsonl)(p, document);
    cJSON_Delete(document);
    return s;
}

gpt2q_status batch_line_parse(struct batch_line *line, enum batch_format format, const char *text, size_t n,
                              uint64_t index, const struct batch_defaults *defaults, gpt2q_error *err)
{
    struct openai_error reason = {.code = ""};
    struct parser p = {.line = line, .defaults = defaults, .err = &reason};
    *line = (struct batch_line){.format = format, .index = index};
    gpt2q_status s = format == BATCH_TEXT ? parse_text(&p, text, n) : parse_json(&p, text, n);
    return s ? error_set(err, s, "line %llu: %s", (unsigned long long)index + 1, reason.error.message)
             : GPT2Q_OK;
}

void batch_line_free(struct batch_line *line)
{
    openai_request_free(&line->asked);
    mem_free(line->id);
    *line = (struct batch_line){0};
}
