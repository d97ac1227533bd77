#include "openai/fields.h"
#include "base/memory.h"
#include "base/nearest.h"
#include <stdio.h>
#include <string.h>

const cJSON *field_find(const struct fields *f, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(f->object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

gpt2q_status field_check_names(const struct fields *f, const char *const *known, size_t n)
{
    for (const cJSON *item = f->object->child; item; item = item->next) {
        size_t i = 0;
        while (i < n && strcmp(item->string, known[i])) i++;
        if (i < n) continue;
        const char *near = nearest_name(item->string, known, n);
        return openai_error_set(f->err, GPT2Q_FORMAT, "unknown_field", item->string,
                                "unknown field '%.60s'%s%s%s", item->string, near ? ": did you mean '" : "",
                                near ? near : "", near ? "'?" : "");
    }
    return GPT2Q_OK;
}

/* The API's code for what json_integer and its like refused. */
static gpt2q_status refused(const struct fields *f, const char *key, gpt2q_status s, bool right_type)
{
    if (!s) return s;
    f->err->code = right_type ? "invalid_value" : "invalid_type";
    snprintf(f->err->param, sizeof f->err->param, "%s", key);
    return s;
}

static gpt2q_status whole(const struct fields *f, const char *key, int64_t min, int64_t max, int64_t *out,
                          bool *present)
{
    gpt2q_status s = json_integer(f->object, key, NULL, min, max, out, present, &f->err->error);
    return refused(f, key, s, cJSON_IsNumber(field_find(f, key)));
}

gpt2q_status field_integer(const struct fields *f, const char *key, int64_t min, int64_t max, int32_t *out)
{
    int64_t v;
    bool present;
    gpt2q_status s = whole(f, key, min, max, &v, &present);
    if (!s && present) *out = v < INT32_MAX ? (int32_t)v : INT32_MAX;
    return s;
}

gpt2q_status field_seed(const struct fields *f, const char *key, int64_t min, uint64_t *out)
{
    int64_t v;
    bool present;
    gpt2q_status s = whole(f, key, min, FIELD_ANY, &v, &present);
    if (!s && present) *out = (uint64_t)v;
    return s;
}

gpt2q_status field_real(const struct fields *f, const char *key, double min, double max, double *out)
{
    bool present;
    gpt2q_status s = json_number(f->object, key, NULL, min, max, out, &present, &f->err->error);
    return refused(f, key, s, cJSON_IsNumber(field_find(f, key)));
}

gpt2q_status field_float(const struct fields *f, const char *key, double min, double max, float *out)
{
    double v = (double)*out;
    gpt2q_status s = field_real(f, key, min, max, &v);
    if (!s) *out = (float)v;
    return s;
}

gpt2q_status field_bool(const struct fields *f, const char *key, bool *out)
{
    bool present;
    return refused(f, key, json_bool(f->object, key, NULL, out, &present, &f->err->error), false);
}

/* ---- texts ---- */

static gpt2q_status out_of_memory(const struct fields *f, size_t bytes)
{
    f->err->code = "out_of_memory";
    f->err->param[0] = '\0';
    return error_memory(&f->err->error, "a request", bytes);
}

static gpt2q_status copy_text(const struct fields *f, const char *text, char **out)
{
    *out = mem_strdup(text);
    return *out ? GPT2Q_OK : out_of_memory(f, strlen(text));
}

gpt2q_status field_text(const struct fields *f, const char *key, char **out)
{
    const cJSON *item = field_find(f, key);
    if (!item) return GPT2Q_OK;
    if (!cJSON_IsString(item))
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", key, "%s must be a text", key);
    return copy_text(f, item->valuestring, out);
}

gpt2q_status field_texts(const struct fields *f, const char *key, size_t most, char **copies, size_t *n,
                         bool *present)
{
    const cJSON *item = field_find(f, key);
    *present = item != NULL;
    *n = 0;
    if (!item) return GPT2Q_OK;
    bool one = cJSON_IsString(item);
    if (!one && !cJSON_IsArray(item))
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", key,
                                "%s must be a text or an array of texts", key);
    size_t given = one ? 1 : (size_t)cJSON_GetArraySize(item);
    if (given > most)
        return openai_error_set(f->err, GPT2Q_FORMAT, "too_many", key,
                                "%s has %zu entries where %zu are possible", key, given, most);
    for (item = one ? item : item->child; item; item = one ? NULL : item->next) {
        if (!cJSON_IsString(item) || !*item->valuestring)
            return openai_error_set(
                f->err, GPT2Q_FORMAT, cJSON_IsString(item) ? "invalid_value" : "invalid_type", key,
                "%s must be a text or an array of texts, entry %zu is none or empty", key, *n + 1);
        gpt2q_status s = copy_text(f, item->valuestring, &copies[*n]);
        if (s) return s;
        ++*n;
    }
    return GPT2Q_OK;
}

/* ---- prompts ---- */

struct prompt_path { /* for messages: prompt, or prompt[3] */
    char text[48];
};

static struct prompt_path path_of(const char *key, bool many, size_t i)
{
    struct prompt_path p;
    if (many)
        snprintf(p.text, sizeof p.text, "%s[%zu]", key, i);
    else
        snprintf(p.text, sizeof p.text, "%s", key);
    return p;
}

static gpt2q_status no_prompt(const struct fields *f, const char *path)
{
    return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", path,
                            "%s must be a text or an array of ids", path);
}

/* `expected`: what the field may be, "an array of ids". */
static gpt2q_status read_ids(const struct fields *f, const char *path, const char *expected,
                             const cJSON *array, int32_t vocab_size, struct prompt *p)
{
    size_t n = (size_t)cJSON_GetArraySize(array);
    p->ids = mem_array(n, sizeof *p->ids);
    if (!p->ids) return out_of_memory(f, n * sizeof *p->ids);
    for (const cJSON *item = array->child; item; item = item->next) {
        double v = item->valuedouble;
        if (!cJSON_IsNumber(item) || v < 0 || v > INT32_MAX || v != (double)(int32_t)v)
            return openai_error_set(f->err, GPT2Q_FORMAT,
                                    cJSON_IsNumber(item) ? "invalid_value" : "invalid_type", path,
                                    "%s must be %s, entry %zu is no id", path, expected, p->n_ids + 1);
        if (vocab_size && v >= vocab_size)
            return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", path,
                                    "%s must have ids below %d, but entry %zu is %.0f", path, (int)vocab_size,
                                    p->n_ids + 1, v);
        p->ids[p->n_ids++] = (int32_t)v;
    }
    return GPT2Q_OK;
}

static gpt2q_status read_prompt(const struct fields *f, const char *path, const cJSON *item,
                                const struct prompt_rules *rules, struct prompt *p)
{
    if (cJSON_IsString(item)) {
        gpt2q_status s = copy_text(f, item->valuestring, &p->text);
        if (!s) p->n = strlen(p->text);
        return s;
    }
    if (!cJSON_IsArray(item)) return no_prompt(f, path);
    if (rules->many && !item->child)
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", path, "%s is an empty array", path);
    return read_ids(f, path, "a text or an array of ids", item, rules->vocab_size, p);
}

gpt2q_status field_prompts(const struct fields *f, const char *key, const struct prompt_rules *rules,
                           struct prompt **prompts, size_t *n)
{
    const cJSON *item = field_find(f, key);
    *n = 0;
    if (!item) return GPT2Q_OK;
    bool many = rules->many && cJSON_IsArray(item) && item->child && !cJSON_IsNumber(item->child);
    size_t given = many ? (size_t)cJSON_GetArraySize(item) : 1;
    if (given > rules->most)
        return openai_error_set(f->err, GPT2Q_FORMAT, "too_many", key,
                                "%s has %zu entries where %zu are possible", key, given, rules->most);
    *prompts = mem_zarray(given, sizeof **prompts);
    if (!*prompts) return out_of_memory(f, given * sizeof **prompts);
    *n = given;
    bool texts = many && cJSON_IsString(item->child);
    if (many) item = item->child;
    for (size_t i = 0; i < given; i++, item = item->next) {
        struct prompt_path path = path_of(key, many, i);
        if (many && cJSON_IsString(item) != texts)
            return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", path.text,
                                    "%s: a list of prompts is texts or arrays of ids, not both", path.text);
        gpt2q_status s = read_prompt(f, path.text, item, rules, &(*prompts)[i]);
        if (s) return s;
    }
    return GPT2Q_OK;
}

void prompt_clear(struct prompt *prompt)
{
    mem_free(prompt->text);
    mem_free(prompt->ids);
    *prompt = (struct prompt){0};
}

void prompts_free(struct prompt *prompts, size_t n)
{
    for (size_t i = 0; prompts && i < n; i++) prompt_clear(&prompts[i]);
    mem_free(prompts);
}

gpt2q_status field_ids(const struct fields *f, const char *key, size_t most, int32_t vocab_size,
                       int32_t **ids, size_t *n)
{
    const cJSON *item = field_find(f, key);
    struct prompt p = {0};
    if (!item) return GPT2Q_OK;
    if (!cJSON_IsArray(item))
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", key, "%s must be an array of ids", key);
    size_t given = (size_t)cJSON_GetArraySize(item);
    if (given > most)
        return openai_error_set(f->err, GPT2Q_FORMAT, "too_many", key,
                                "%s has %zu entries where %zu are possible", key, given, most);
    gpt2q_status s = read_ids(f, key, "an array of ids", item, vocab_size, &p);
    *ids = p.ids;
    *n = p.n_ids;
    return s;
}

/* The id that a key of logit_bias is, or -1. */
static int32_t id_of_key(const char *key)
{
    int64_t id = 0;
    size_t n = strlen(key);
    if (n == 0 || n > 9) return -1;
    for (size_t i = 0; i < n; i++) {
        if (key[i] < '0' || key[i] > '9') return -1;
        id = id * 10 + (key[i] - '0');
    }
    return (int32_t)id;
}

gpt2q_status field_bias(const struct fields *f, const char *key, size_t most, int32_t vocab_size,
                        gpt2q_logit_bias **pairs, size_t *n)
{
    const cJSON *object = field_find(f, key);
    if (!object) return GPT2Q_OK;
    if (!cJSON_IsObject(object))
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", key,
                                "%s must be an object, {\"50256\": -100}", key);
    size_t given = (size_t)cJSON_GetArraySize(object);
    if (given > most)
        return openai_error_set(f->err, GPT2Q_FORMAT, "too_many", key,
                                "%s has %zu entries where %zu are possible", key, given, most);
    *pairs = mem_array(given, sizeof **pairs);
    if (!*pairs) return out_of_memory(f, given * sizeof **pairs);
    for (const cJSON *item = object->child; item; item = item->next) {
        char path[64];
        snprintf(path, sizeof path, "%s.%.40s", key, item->string);
        int32_t id = id_of_key(item->string);
        if (id < 0 || (vocab_size && id >= vocab_size))
            return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", path,
                                    "%s: '%.40s' is no id of the vocabulary", key, item->string);
        if (!cJSON_IsNumber(item))
            return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", path, "%s must be a number", path);
        if (item->valuedouble < -100 || item->valuedouble > 100)
            return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", path,
                                    "%s must be from -100 to 100, not %g", path, item->valuedouble);
        (*pairs)[(*n)++] = (gpt2q_logit_bias){.id = id, .bias = (float)item->valuedouble};
    }
    return GPT2Q_OK;
}
