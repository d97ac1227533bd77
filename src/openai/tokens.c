#include "openai/tokens.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "engine/model.h"
#include "openai/answer.h"
#include <string.h>

static gpt2q_status open_body(const char *body, size_t n, cJSON **tree, struct openai_error *err)
{
    gpt2q_status s = json_parse(body, n, NULL, tree, &err->error);
    if (s) err->code = s == GPT2Q_OUT_OF_MEMORY ? "out_of_memory" : "invalid_json";
    if (s || cJSON_IsObject(*tree)) return s;
    cJSON_Delete(*tree);
    return openai_error_set(err, GPT2Q_FORMAT, "invalid_type", NULL, "the request must be a JSON object");
}

gpt2q_status tokenize_read(const char *body, size_t n, struct tokens_request *out, struct openai_error *err)
{
    static const char *const known[] = {
        "prompt",        "content",           "model",       "add_special_tokens",
        "parse_special", "return_token_strs", "with_pieces", "add_special"};
    cJSON *tree;
    *out = (struct tokens_request){.parse_special = true};
    gpt2q_status s = open_body(body, n, &tree, err);
    if (s) return s;
    struct fields f = {.object = tree, .err = err};
    bool ignored;
    s = field_check_names(&f, known, sizeof known / sizeof *known);
    if (!s) s = field_text(&f, field_find(&f, "prompt") ? "prompt" : "content", &out->text);
    if (!s) s = field_text(&f, "model", &out->model);
    if (!s) s = field_bool(&f, "parse_special", &out->parse_special);
    if (!s) s = field_bool(&f, "return_token_strs", &out->return_token_strs);
    if (!s) s = field_bool(&f, "with_pieces", &out->with_pieces);
    if (!s) s = field_bool(&f, "add_special_tokens", &ignored);
    if (!s && !out->text)
        s = openai_error_set(err, GPT2Q_FORMAT, "invalid_value", "prompt", "prompt is missing");
    cJSON_Delete(tree);
    return s;
}

gpt2q_status detokenize_read(const char *body, size_t n, struct tokens_request *out, struct openai_error *err)
{
    static const char *const known[] = {"tokens", "model"};
    cJSON *tree;
    *out = (struct tokens_request){0};
    gpt2q_status s = open_body(body, n, &tree, err);
    if (s) return s;
    struct fields f = {.object = tree, .err = err};
    s = field_check_names(&f, known, sizeof known / sizeof *known);
    if (!s) s = field_text(&f, "model", &out->model);
    if (!s) s = field_ids(&f, "tokens", SIZE_MAX, 0, &out->ids, &out->n_ids);
    if (!s && !out->ids)
        s = openai_error_set(err, GPT2Q_FORMAT, "invalid_value", "tokens", "tokens is missing");
    cJSON_Delete(tree);
    return s;
}

void tokens_request_free(struct tokens_request *r)
{
    mem_free(r->model);
    mem_free(r->text);
    mem_free(r->ids);
    *r = (struct tokens_request){0};
}

/* A piece that is no text by itself is its bytes. */
static void put_piece(struct json_writer *w, const gpt2q_model *model, int32_t id)
{
    size_t n;
    const char *bytes = gpt2q_token_bytes(model, id, &n);
    if (bytes && utf8_valid_prefix(bytes, n) == n) {
        json_put_bytes(w, bytes, n);
        return;
    }
    json_open(w, '[');
    for (size_t i = 0; bytes && i < n; i++) json_put_integer(w, (unsigned char)bytes[i]);
    json_close(w, ']');
}

static void put_strings(struct json_writer *w, const gpt2q_model *model, const int32_t *ids, size_t n)
{
    json_key(w, "token_strs"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) {
        size_t length = 0;
        const char *bytes = gpt2q_token_bytes(model, ids[i], &length);
        json_put_bytes(w, bytes ? bytes : "", bytes ? length : 0);
    }
    json_close(w, ']');
}

static void put_pieces(struct json_writer *w, const gpt2q_model *model, const int32_t *ids, size_t n)
{
    json_key(w, "pieces"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(w, '{');
        json_key(w, "id"), json_put_integer(w, ids[i]);
        json_key(w, "piece"), put_piece(w, model, ids[i]);
        json_close(w, '}');
    }
    json_close(w, ']');
}

gpt2q_status tokenize_write(struct json_writer *w, const gpt2q_model *model, int32_t n_ctx,
                            const struct tokens_request *r, struct openai_error *err)
{
    size_t length = strlen(r->text), capacity = model_max_ids(model, length), n = 0;
    gpt2q_error why;
    int32_t *ids = mem_array(capacity, sizeof *ids);
    gpt2q_status s = ids ? GPT2Q_OK : error_memory(&why, "ids", capacity * sizeof *ids);
    if (!s && capacity)
        s = gpt2q_tokenize(model, r->text, length, r->parse_special ? GPT2Q_PARSE_SPECIAL : 0, ids, capacity,
                           &n, &why);
    if (s) {
        mem_free(ids);
        openai_error_of(err, &why);
        return s;
    }
    json_open(w, '{');
    json_key(w, "count"), json_put_unsigned(w, n);
    json_key(w, "max_model_len"), json_put_integer(w, n_ctx);
    openai_ids_write(w, "tokens", ids, n);
    if (r->return_token_strs) put_strings(w, model, ids, n);
    if (r->with_pieces) put_pieces(w, model, ids, n);
    json_close(w, '}');
    mem_free(ids);
    return GPT2Q_OK;
}

gpt2q_status detokenize_write(struct json_writer *w, const gpt2q_model *model, const struct tokens_request *r,
                              struct openai_error *err)
{
    const int32_t size = gpt2q_model_config(model)->vocab_size;
    for (size_t i = 0; i < r->n_ids; i++)
        if (r->ids[i] >= size)
            return openai_error_set(err, GPT2Q_FORMAT, "invalid_value", "tokens",
                                    "tokens must have ids below %d, but entry %zu is %d", (int)size, i + 1,
                                    (int)r->ids[i]);
    size_t n = bytes_of_ids(model, r->ids, r->n_ids, NULL);
    char *text = mem_alloc(n);
    if (!text)
        return openai_error_set(err, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL, "out of memory: a text");
    bytes_of_ids(model, r->ids, r->n_ids, text);
    json_open(w, '{');
    json_key(w, "prompt"), json_put_bytes(w, text, n);
    json_key(w, "content"), json_put_bytes(w, text, n);
    json_close(w, '}');
    mem_free(text);
    return GPT2Q_OK;
}
