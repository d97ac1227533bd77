/* Ids before and after a text, and the space before it: the post-processor of tokenizer.json, or the flags of
 * tokenizer_config.json. */
#include "tokenizer/resolve_parts.h"
#include "tokenizer/vocabulary.h"
#include <string.h>

static gpt2q_status put_around(struct resolver *r, bool before, const cJSON *id, gpt2q_error *err)
{
    double v = cJSON_IsNumber(id) ? id->valuedouble : -1;
    int32_t *ids = before ? r->before : r->after;
    int *n = before ? &r->n_before : &r->n_after;
    if (!(v >= 0 && v <= MAX_ID && v == (double)(int32_t)v))
        return error_set(err, GPT2Q_FORMAT, "%s: post_processor: a token without an id",
                         r->src->tokenizer_path);
    if (*n == AROUND_MAX)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor: more than %d tokens before or after",
                         r->src->tokenizer_path, AROUND_MAX);
    ids[(*n)++] = (int32_t)v;
    return GPT2Q_OK;
}

static gpt2q_status read_template(struct resolver *r, const cJSON *processor, gpt2q_error *err)
{
    const cJSON *piece, *single = resolve_get(processor, "single"),
                        *tokens = resolve_get(processor, "special_tokens");
    int texts = 0;
    cJSON_ArrayForEach(piece, single)
    {
        const cJSON *sequence = resolve_get(resolve_get(piece, "Sequence"), "id"),
                    *name = resolve_get(resolve_get(piece, "SpecialToken"), "id"), *id;
        if (cJSON_IsString(sequence) && !strcmp(sequence->valuestring, "A")) {
            texts++;
            continue;
        }
        const cJSON *token = cJSON_IsString(name) ? resolve_get(tokens, name->valuestring) : NULL;
        if (!token)
            return error_set(err, GPT2Q_FORMAT,
                             "%s: post_processor: a piece of single is neither the text nor a known token",
                             r->src->tokenizer_path);
        cJSON_ArrayForEach(id, resolve_get(token, "ids"))
        {
            gpt2q_status s = put_around(r, texts == 0, id, err);
            if (s) return s;
        }
    }
    if (texts == 1) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor: single must hold the text once",
                     r->src->tokenizer_path);
}

static gpt2q_status read_processor(struct resolver *r, const cJSON *processor, gpt2q_error *err)
{
    const cJSON *type = resolve_get(processor, "type");
    const char *name = cJSON_IsString(type) ? type->valuestring : "";
    if (!strcmp(name, "ByteLevel")) return GPT2Q_OK; /* concerns offsets */
    if (!strcmp(name, "TemplateProcessing")) return read_template(r, processor, err);
    if (!strcmp(name, "RobertaProcessing") || !strcmp(name, "BertProcessing")) {
        gpt2q_status s = put_around(r, true, cJSON_GetArrayItem(resolve_get(processor, "cls"), 1), err);
        return s ? s : put_around(r, false, cJSON_GetArrayItem(resolve_get(processor, "sep"), 1), err);
    }
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor.type is \"%s\", which is not supported",
                     r->src->tokenizer_path, error_quote(name, strlen(name)).text);
}

static gpt2q_status read_processors(struct resolver *r, gpt2q_error *err)
{
    const cJSON *processor = resolve_get(r->src->tokenizer, "post_processor"),
                *type = resolve_get(processor, "type"), *item;
    if (!processor) return GPT2Q_OK;
    if (!cJSON_IsString(type) || strcmp(type->valuestring, "Sequence"))
        return read_processor(r, processor, err);
    cJSON_ArrayForEach(item, resolve_get(processor, "processors"))
    {
        if (r->n_before + r->n_after) /* each would go around what the ones before made, in its own order */
            return error_set(err, GPT2Q_UNSUPPORTED, "%s: post_processor: several processors that add tokens",
                             r->src->tokenizer_path);
        gpt2q_status s = read_processor(r, item, err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

/* add_bos_token and add_eos_token count only without a tokenizer.json. */
gpt2q_status resolve_read_around(struct resolver *r, gpt2q_error *err)
{
    bool bos = false, eos = false, present, json_prefix = false;
    const char *path = r->src->config_path;
    const cJSON *split = resolve_get(r->src->tokenizer, "pre_tokenizer");
    gpt2q_status s = json_bool(r->src->config, "add_bos_token", path, &bos, &present, err);
    if (!s) s = json_bool(r->src->config, "add_eos_token", path, &eos, &present, err);
    if (!s) s = json_bool(r->src->config, "add_prefix_space", path, &r->prefix, &present, err);
    if (!s) s = json_bool(split, "add_prefix_space", r->src->tokenizer_path, &json_prefix, &present, err);
    if (s) return s;
    if (split && r->backend) r->prefix = present ? json_prefix : true; /* the default of tokenizers */
    if (json_prefix && !r->prefix)
        return error_set(err, GPT2Q_UNSUPPORTED,
                         "%s: pre_tokenizer.add_prefix_space is true, but add_prefix_space of "
                         "tokenizer_config.json is not",
                         r->src->tokenizer_path);
    if (r->src->tokenizer) return read_processors(r, err);
    if (bos && r->bos) r->before[r->n_before++] = resolve_id(r, r->bos);
    if (eos && r->eos) r->after[r->n_after++] = resolve_id(r, r->eos);
    return GPT2Q_OK;
}
