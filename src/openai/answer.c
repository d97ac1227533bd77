#include "openai/answer.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <stdio.h>
#include <string.h>

const char *finish_name(gpt2q_finish finish)
{
    switch (finish) {
    case GPT2Q_FINISH_STOP: return "stop";
    case GPT2Q_FINISH_CANCELLED: return "cancelled";
    case GPT2Q_FINISH_ERROR: return "error";
    default: return "length";
    }
}

/* ---- text ---- */

/* Writes the bytes of the ids, one after another, to `to` unless it is NULL. Returns their number. */
static size_t bytes_of_ids(const gpt2q_model *model, const int32_t *ids, size_t n_ids, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < n_ids; i++) {
        size_t length;
        const char *bytes = gpt2q_token_bytes(model, ids[i], &length);
        if (!bytes) continue;
        if (to) memcpy(to + n, bytes, length);
        n += length;
    }
    return n;
}

char *completion_text(const gpt2q_model *model, const struct prompt *prompt, bool echo, const gpt2q_result *r,
                      size_t *n)
{
    size_t before = 0;
    if (echo) before = prompt->ids ? bytes_of_ids(model, r->prompt_ids, r->n_prompt, NULL) : prompt->n;
    char *text = mem_array(before + r->text_len + 1, 1);
    *n = before + r->text_len;
    if (!text) return NULL;
    if (echo && prompt->ids)
        bytes_of_ids(model, r->prompt_ids, r->n_prompt, text);
    else if (before)
        memcpy(text, prompt->text, before);
    if (r->text_len) memcpy(text + before, r->text, r->text_len);
    text[*n] = '\0';
    return text;
}

/* ---- log-probabilities ---- */

/* The API's name of a token: its text; bytes:\xe2\x80 if it is not text by itself; or token_id:464. For
 * mem_free; NULL when memory is out. */
static char *token_name(const gpt2q_model *model, int32_t id, bool as_id)
{
    size_t n;
    const char *bytes = gpt2q_token_bytes(model, id, &n);
    if (as_id || !bytes) {
        char name[24] = "";
        if (as_id) snprintf(name, sizeof name, "token_id:%d", (int)id);
        return mem_strdup(name);
    }
    if (utf8_valid_prefix(bytes, n) == n && !memchr(bytes, 0, n)) return mem_memdup(bytes, n);
    char *name = mem_alloc(n * 4 + 8);
    if (!name) return NULL;
    size_t at = (size_t)sprintf(name, "bytes:");
    for (size_t i = 0; i < n; i++) at += (size_t)sprintf(name + at, "\\x%02x", (unsigned char)bytes[i]);
    return name;
}

static void put_name(struct json_writer *w, char *name)
{
    if (name)
        json_put_string(w, name);
    else
        w->failed = true;
    mem_free(name);
}

/* The number of characters that begin in a token. */
static size_t characters(const gpt2q_model *model, int32_t id)
{
    size_t n, count = 0;
    const char *bytes = gpt2q_token_bytes(model, id, &n);
    for (size_t i = 0; bytes && i < n; i++) count += ((unsigned char)bytes[i] & 0xC0) != 0x80;
    return count;
}

/* Writes {"name": logprob, ..}: the K best tokens, and the token itself. A name that would stand twice has
 * the larger value, which comes first. */
static void put_top(struct json_writer *w, const gpt2q_model *model, const gpt2q_position *p, int32_t k,
                    bool as_id)
{
    char *names[OPENAI_LOGPROBS_MAX + 1];
    int32_t n = 0;
    json_open(w, '{');
    for (int32_t j = 0; j <= k; j++) {
        char *name = token_name(model, j < k ? p->top[j].id : p->id, as_id);
        int32_t i = 0;
        if (!name) w->failed = true;
        while (name && i < n && strcmp(names[i], name)) i++;
        if (!name || i < n) {
            mem_free(name);
            continue;
        }
        json_key(w, names[n++] = name);
        json_put_real(w, (double)(j < k ? p->top[j].logprob : p->logprob));
    }
    json_close(w, '}');
    for (int32_t i = 0; i < n; i++) mem_free(names[i]);
}

/* The legacy shape: four arrays of one length. Without K best tokens top_logprobs is null. */
static void put_logprobs(struct json_writer *w, const gpt2q_model *model, const struct openai_request *r,
                         const gpt2q_result *result)
{
    const gpt2q_position *p = result->positions;
    bool as_id = r->return_tokens_as_token_ids;
    int32_t k = r->request.n_logprobs;
    size_t n = result->n_positions, offset = 0;
    json_open(w, '{');
    json_key(w, "tokens"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) put_name(w, token_name(model, p[i].id, as_id));
    json_close(w, ']');
    json_key(w, "token_logprobs"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) json_put_real(w, (double)p[i].logprob);
    json_close(w, ']');
    json_key(w, "top_logprobs");
    if (k) {
        json_open(w, '[');
        for (size_t i = 0; i < n; i++) {
            if (p[i].top)
                put_top(w, model, &p[i], k, as_id);
            else
                json_put_null(w);
        }
        json_close(w, ']');
    } else {
        json_put_null(w);
    }
    json_key(w, "text_offset"), json_open(w, '[');
    for (size_t i = 0; i < n; offset += characters(model, p[i++].id)) json_put_unsigned(w, offset);
    json_close(w, ']');
    json_close(w, '}');
}

/* ---- the answer ---- */

static void put_ids(struct json_writer *w, const char *key, const int32_t *ids, size_t n)
{
    json_key(w, key), json_open(w, '[');
    for (size_t i = 0; i < n; i++) json_put_integer(w, ids[i]);
    json_close(w, ']');
}

void openai_choice_write(struct json_writer *w, const gpt2q_model *model, const struct openai_request *r,
                         size_t prompt, int32_t sample, const gpt2q_result *result)
{
    size_t n;
    char *text = completion_text(model, &r->prompts[prompt], r->request.echo, result, &n);
    if (!text) {
        w->failed = true;
        return;
    }
    json_open(w, '{');
    json_key(w, "text"), json_put_bytes(w, text, n);
    mem_free(text);
    json_key(w, "index"), json_put_unsigned(w, prompt * (size_t)r->request.n_samples + (size_t)sample);
    json_key(w, "logprobs");
    if (r->request.n_logprobs < 0)
        json_put_null(w);
    else
        put_logprobs(w, model, r, result);
    json_key(w, "finish_reason"), json_put_string(w, finish_name(result->finish));
    json_key(w, "stop_reason"), json_put_string(w, result->stop);
    json_key(w, "seed"), json_put_integer(w, (int64_t)(r->request.sampling.seed + (uint64_t)sample));
    if (r->return_token_ids) {
        put_ids(w, "prompt_token_ids", result->prompt_ids, result->n_prompt);
        put_ids(w, "token_ids", result->ids, result->n_ids);
    }
    json_close(w, '}');
}

void openai_completion_write(struct json_writer *w, const struct openai_head *head, char *const *choices,
                             size_t n, const struct openai_usage *usage)
{
    json_open(w, '{');
    json_key(w, "id"), json_put_string(w, head->id);
    json_key(w, "object"), json_put_string(w, "text_completion");
    json_key(w, "created"), json_put_integer(w, head->created);
    json_key(w, "model"), json_put_string(w, head->model);
    json_key(w, "choices"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) json_put_raw(w, choices[i], strlen(choices[i]));
    json_close(w, ']');
    json_key(w, "usage"), json_open(w, '{');
    json_key(w, "prompt_tokens"), json_put_unsigned(w, usage->prompt_tokens);
    json_key(w, "completion_tokens"), json_put_unsigned(w, usage->completion_tokens);
    json_key(w, "total_tokens"), json_put_unsigned(w, usage->prompt_tokens + usage->completion_tokens);
    json_close(w, '}');
    json_close(w, '}');
}
