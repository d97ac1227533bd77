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

size_t bytes_of_ids(const gpt2q_model *model, const int32_t *ids, size_t n_ids, char *to)
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

void openai_logprobs_write(struct json_writer *w, const gpt2q_model *model, const struct openai_request *r,
                           const gpt2q_position *p, size_t n, size_t *offset)
{
    bool as_id = r->return_tokens_as_token_ids;
    if (r->logprobs < 0) {
        json_put_null(w);
        return;
    }
    json_open(w, '{');
    json_key(w, "tokens"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) put_name(w, token_name(model, p[i].id, as_id));
    json_close(w, ']');
    json_key(w, "token_logprobs"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) json_put_real(w, (double)p[i].logprob);
    json_close(w, ']');
    json_key(w, "top_logprobs");
    if (r->logprobs) {
        json_open(w, '[');
        for (size_t i = 0; i < n; i++) {
            if (p[i].top)
                put_top(w, model, &p[i], r->logprobs, as_id);
            else
                json_put_null(w);
        }
        json_close(w, ']');
    } else {
        json_put_null(w);
    }
    json_key(w, "text_offset"), json_open(w, '[');
    for (size_t i = 0; i < n; *offset += characters(model, p[i++].id)) json_put_unsigned(w, *offset);
    json_close(w, ']');
    json_close(w, '}');
}

static void put_chat_token(struct json_writer *w, const gpt2q_model *model, int32_t id, float logprob,
                           bool as_id)
{
    size_t n;
    const char *bytes = gpt2q_token_bytes(model, id, &n);
    json_key(w, "token"), put_name(w, token_name(model, id, as_id));
    json_key(w, "logprob"), json_put_real(w, (double)logprob);
    json_key(w, "bytes"), json_open(w, '[');
    for (size_t i = 0; bytes && i < n; i++) json_put_integer(w, (unsigned char)bytes[i]);
    json_close(w, ']');
}

void openai_chat_logprobs_write(struct json_writer *w, const gpt2q_model *model,
                                const struct openai_request *r, const gpt2q_position *p, size_t n)
{
    bool as_id = r->return_tokens_as_token_ids;
    if (r->logprobs < 0) {
        json_put_null(w);
        return;
    }
    json_open(w, '{'), json_key(w, "content"), json_open(w, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(w, '{'), put_chat_token(w, model, p[i].id, p[i].logprob, as_id);
        json_key(w, "top_logprobs"), json_open(w, '[');
        for (int32_t k = 0; p[i].top && k < r->logprobs; k++)
            json_open(w, '{'), put_chat_token(w, model, p[i].top[k].id, p[i].top[k].logprob, as_id),
                json_close(w, '}');
        json_close(w, ']'), json_close(w, '}');
    }
    json_close(w, ']'), json_close(w, '}');
}

/* {"ID": {"logprob", "rank", "decoded_token"}, ..}: the K best and the token itself; null for the first token. */
static void put_prompt_position(struct json_writer *w, const gpt2q_model *model, const gpt2q_position *p,
                                int32_t k)
{
    bool met = false;
    if (!p->top) {
        json_put_null(w);
        return;
    }
    json_open(w, '{');
    for (int32_t j = 0; j <= k; j++) {
        int32_t id = j < k ? p->top[j].id : p->id;
        char key[16];
        if (j == k && met) break;
        met = met || id == p->id;
        snprintf(key, sizeof key, "%d", (int)id);
        json_key(w, key), json_open(w, '{');
        json_key(w, "logprob"), json_put_real(w, (double)(j < k ? p->top[j].logprob : p->logprob));
        json_key(w, "rank"), json_put_integer(w, j < k ? j + 1 : p->rank);
        json_key(w, "decoded_token"), put_name(w, token_name(model, id, false));
        json_close(w, '}');
    }
    json_close(w, '}');
}

static void put_prompt_logprobs(struct json_writer *w, const gpt2q_model *model,
                                const struct openai_request *r, const gpt2q_result *result)
{
    json_key(w, "prompt_logprobs"), json_open(w, '[');
    for (size_t i = 0; i < result->n_prompt && i < result->n_positions; i++)
        put_prompt_position(w, model, &result->positions[i], r->prompt_logprobs);
    json_close(w, ']');
}

/* ---- the answer ---- */

void openai_ids_write(struct json_writer *w, const char *key, const int32_t *ids, size_t n)
{
    json_key(w, key), json_open(w, '[');
    for (size_t i = 0; i < n; i++) json_put_integer(w, ids[i]);
    json_close(w, ']');
}

void openai_finish_write(struct json_writer *w, const struct openai_request *r, int32_t sample,
                         const gpt2q_result *result)
{
    json_key(w, "finish_reason"), json_put_string(w, finish_name(result->finish));
    json_key(w, "stop_reason");
    if (result->stop_id >= 0)
        json_put_integer(w, result->stop_id);
    else
        json_put_string(w, result->stop);
    json_key(w, "seed"), json_put_integer(w, (int64_t)(r->request.sampling.seed + (uint64_t)sample));
}

static double mean_logprob(const gpt2q_result *result)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < result->n_positions; i++)
        if (!result->positions[i].in_prompt) sum += (double)result->positions[i].logprob, n++;
    return n ? sum / (double)n : 0;
}

bool openai_choice_make(struct openai_choice *choice, const gpt2q_model *model,
                        const struct openai_request *r, size_t prompt, int32_t sample,
                        const gpt2q_result *result)
{
    struct json_writer w = {0};
    size_t n, offset = 0;
    size_t before =
        r->request.echo && !r->echo ? result->n_prompt : 0; /* positions that only prompt_logprobs wants */
    char *text = completion_text(model, &r->prompts[prompt], r->echo, result, &n);
    if (!text) return false;
    if (before > result->n_positions) before = result->n_positions;
    json_key(&w, "text"), json_put_bytes(&w, text, n);
    mem_free(text);
    json_key(&w, "logprobs");
    openai_logprobs_write(&w, model, r, result->positions ? result->positions + before : NULL,
                          result->n_positions - before, &offset);
    openai_finish_write(&w, r, sample, result);
    if (r->prompt_logprobs >= 0) put_prompt_logprobs(&w, model, r, result);
    if (r->return_token_ids) {
        openai_ids_write(&w, "prompt_token_ids", result->prompt_ids, result->n_prompt);
        openai_ids_write(&w, "token_ids", result->ids, result->n_ids);
    }
    choice->mean_logprob = r->request.n_samples > r->n ? mean_logprob(result) : 0;
    choice->fields = json_finish(&w);
    return choice->fields != NULL;
}

void openai_head_write(struct json_writer *w, const struct openai_head *head, const char *object)
{
    json_key(w, "id"), json_put_string(w, head->id);
    json_key(w, "object"), json_put_string(w, object);
    json_key(w, "created"), json_put_integer(w, head->created);
    json_key(w, "model"), json_put_string(w, head->model);
    if (head->fingerprint) json_key(w, "system_fingerprint"), json_put_string(w, head->fingerprint);
}

void openai_usage_write(struct json_writer *w, const struct openai_usage *usage)
{
    json_key(w, "usage"), json_open(w, '{');
    json_key(w, "prompt_tokens"), json_put_unsigned(w, usage->prompt_tokens);
    json_key(w, "completion_tokens"), json_put_unsigned(w, usage->completion_tokens);
    json_key(w, "total_tokens"), json_put_unsigned(w, usage->prompt_tokens + usage->completion_tokens);
    if (usage->has_cached) {
        json_key(w, "prompt_tokens_details"), json_open(w, '{');
        json_key(w, "cached_tokens"), json_put_unsigned(w, usage->cached_tokens);
        json_close(w, '}');
    }
    json_close(w, '}');
}

static double per_second(uint64_t n, double ms) { return ms > 0 ? (double)n * 1e3 / ms : 0; }

void openai_timings_write(struct json_writer *w, const struct openai_timings *t)
{
    json_key(w, "timings"), json_open(w, '{');
    json_key(w, "queue_ms"), json_put_real(w, t->queue_ms);
    json_key(w, "prefill_ms"), json_put_real(w, t->prefill_ms);
    json_key(w, "decode_ms"), json_put_real(w, t->decode_ms);
    json_key(w, "prompt_n"), json_put_unsigned(w, t->prompt_n);
    json_key(w, "cached_n"), json_put_unsigned(w, t->cached_n);
    json_key(w, "predicted_n"), json_put_unsigned(w, t->predicted_n);
    json_key(w, "prompt_per_second"), json_put_real(w, per_second(t->prompt_n - t->cached_n, t->prefill_ms));
    json_key(w, "predicted_per_second"), json_put_real(w, per_second(t->predicted_n, t->decode_ms));
    json_key(w, "steps"), json_put_unsigned(w, t->steps);
    json_key(w, "proposed_n"), json_put_unsigned(w, t->proposed_n);
    json_key(w, "accepted_n"), json_put_unsigned(w, t->accepted_n);
    json_close(w, '}');
}

/* The best of the n_samples choices that was not taken yet; of equal ones the lower sample. */
static size_t take_best(const struct openai_choice *choices, size_t n, bool *taken)
{
    size_t best = n;
    for (size_t j = 0; j < n; j++)
        if (!taken[j] && (best == n || choices[j].mean_logprob > choices[best].mean_logprob)) best = j;
    taken[best] = true;
    return best;
}

static void put_choices(struct json_writer *w, const struct openai_request *r, size_t prompt,
                        const struct openai_choice *choices)
{
    bool taken[20] = {false};
    size_t n = (size_t)r->request.n_samples;
    bool ranked = n > (size_t)r->n;
    for (size_t j = 0; j < (size_t)r->n; j++) {
        const char *fields = choices[ranked ? take_best(choices, n, taken) : j].fields;
        json_open(w, '{');
        json_key(w, "index"), json_put_unsigned(w, prompt * (size_t)r->n + j);
        json_put_raw(w, fields, strlen(fields));
        json_close(w, '}');
    }
}

void openai_completion_write(struct json_writer *w, const struct openai_head *head, const char *object,
                             const struct openai_request *r, const struct openai_choice *choices,
                             const struct openai_usage *usage, const struct openai_timings *timings)
{
    json_open(w, '{');
    openai_head_write(w, head, object);
    json_key(w, "choices"), json_open(w, '[');
    for (size_t i = 0; i < r->n_prompts; i++)
        put_choices(w, r, i, choices + i * (size_t)r->request.n_samples);
    json_close(w, ']');
    openai_usage_write(w, usage);
    if (timings) openai_timings_write(w, timings);
    json_close(w, '}');
}
