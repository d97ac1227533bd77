#include "openai/stream.h"
#include "base/memory.h"
#include <string.h>

void openai_stream_begin(struct openai_stream *s, const gpt2q_model *model,
                         const struct openai_request *request, size_t prompt, int32_t sample, bool chat)
{
    *s = (struct openai_stream){
        .model = model, .request = request, .prompt = prompt, .sample = sample, .chat = chat};
}

void openai_stream_free(struct openai_stream *s)
{
    mem_free(s->text);
    mem_free(s->positions);
    mem_free(s->top);
    mem_free(s->ids);
    mem_free(s->prompt_ids);
    mem_free(s->stop);
    *s = (struct openai_stream){0};
}

/* ---- growing buffers ---- */

static bool room(struct openai_stream *s, void **p, size_t n, size_t more, size_t size, size_t *capacity)
{
    if (s->failed) return false;
    if (n + more <= *capacity) return true;
    size_t wanted = *capacity ? *capacity : 16;
    while (wanted < n + more) wanted *= 2;
    void *larger = mem_grow(*p, n * size, wanted * size);
    if (!larger) {
        s->failed = true;
        return false;
    }
    *p = larger;
    *capacity = wanted;
    return true;
}

/* `top` and the positions move when they grow. So pointers into `top` are made only when an event is written. */
static void take_positions(struct openai_stream *s, const gpt2q_position *p, size_t n)
{
    const size_t k = (size_t)s->request->request.n_logprobs;
    size_t top_capacity = s->positions_capacity;
    void *positions = s->positions, *top = s->top;
    bool ok = room(s, &top, s->n_positions, n, (k ? k : 1) * sizeof *s->top, &top_capacity);
    s->top = top;
    ok = ok && room(s, &positions, s->n_positions, n, sizeof *s->positions, &s->positions_capacity);
    s->positions = positions;
    if (!ok) return;
    for (size_t i = 0; i < n; i++) {
        s->positions[s->n_positions] = p[i];
        if (p[i].top && k) memcpy(s->top + s->n_positions * k, p[i].top, k * sizeof *s->top);
        s->n_positions++;
    }
    s->n_taken += n;
}

/* ---- filling ---- */

/* The decoder releases whole code points; what follows a cut one at the end of the prompt completes it. */
static void add_text(struct openai_stream *s, const char *bytes, size_t n)
{
    void *text = s->text;
    bool ok = room(s, &text, s->n_text, n + sizeof s->decoder.held, 1, &s->text_capacity);
    s->text = text;
    if (ok) s->n_text += stream_decode(&s->decoder, bytes, n, s->text + s->n_text);
}

static void echo_prompt(struct openai_stream *s)
{
    const struct prompt *prompt = &s->request->prompts[s->prompt];
    if (!prompt->ids) {
        add_text(s, prompt->text, prompt->n);
        return;
    }
    size_t n = bytes_of_ids(s->model, s->prompt_ids, s->n_prompt, NULL);
    char *bytes = mem_alloc(n);
    if (!bytes) {
        s->failed = true;
        return;
    }
    bytes_of_ids(s->model, s->prompt_ids, s->n_prompt, bytes);
    add_text(s, bytes, n);
    mem_free(bytes);
}

void openai_stream_prompt(struct openai_stream *s, const int32_t *ids, size_t n)
{
    if (s->prompt_ids) return;
    s->prompt_ids = mem_array(n, sizeof *s->prompt_ids);
    if (!s->prompt_ids) {
        s->failed = true;
        return;
    }
    if (n) memcpy(s->prompt_ids, ids, n * sizeof *ids);
    s->n_prompt = n;
    if (s->request->echo) echo_prompt(s);
}

void openai_stream_token(struct openai_stream *s, const gpt2q_position *position)
{
    void *ids = s->ids;
    bool ok = room(s, &ids, s->n_ids, 1, sizeof *s->ids, &s->ids_capacity);
    s->ids = ids;
    if (ok) s->ids[s->n_ids++] = position->id;
    if (s->request->logprobs < 0) return;
    size_t before = s->request->echo && s->n_taken == 0 ? s->n_prompt : 0;
    take_positions(s, position - before, before + 1);
}

void openai_stream_text(struct openai_stream *s, const char *text, size_t n) { add_text(s, text, n); }

void openai_stream_end(struct openai_stream *s, const gpt2q_result *result)
{
    openai_stream_prompt(s, result->prompt_ids, result->n_prompt);
    if (s->request->logprobs >= 0 && result->n_positions > s->n_taken)
        take_positions(s, result->positions + s->n_taken, result->n_positions - s->n_taken);
    add_text(s, "", 0); /* room for what is held */
    if (!s->failed) s->n_text += stream_flush(&s->decoder, s->text + s->n_text);
    if (result->stop && !(s->stop = mem_strdup(result->stop))) s->failed = true;
    s->result = (gpt2q_result){.finish = result->finish, .stop = s->stop, .stop_id = result->stop_id};
    s->ended = true;
}

/* ---- events ---- */

bool openai_stream_has_event(const struct openai_stream *s)
{
    const bool tokens = s->n_positions > 0 || (s->request->return_token_ids && s->n_ids > 0);
    if (s->finished) return false;
    return s->ended || tokens || (s->n_text > 0 && s->n_ids > 0) || (s->begun && s->n_text > 0);
}

size_t openai_stream_pending(const struct openai_stream *s)
{
    const size_t k = s->request->request.n_logprobs > 0 ? (size_t)s->request->request.n_logprobs : 0;
    return s->n_text + s->n_positions * (sizeof *s->positions + k * sizeof *s->top) +
           s->n_ids * sizeof *s->ids;
}

static void put_text(struct json_writer *w, const struct openai_stream *s)
{
    if (!s->chat) {
        json_key(w, "text"), json_put_bytes(w, s->text ? s->text : "", s->n_text);
        return;
    }
    json_key(w, "delta"), json_open(w, '{');
    if (!s->begun) json_key(w, "role"), json_put_string(w, "assistant");
    json_key(w, "content"), json_put_bytes(w, s->text ? s->text : "", s->n_text);
    json_close(w, '}');
}

static void put_logprobs(struct json_writer *w, struct openai_stream *s)
{
    const size_t k = (size_t)s->request->request.n_logprobs;
    for (size_t i = 0; i < s->n_positions; i++)
        if (s->positions[i].top) s->positions[i].top = s->top + i * k;
    json_key(w, "logprobs");
    if (s->chat)
        openai_chat_logprobs_write(w, s->model, s->request, s->positions, s->n_positions);
    else
        openai_logprobs_write(w, s->model, s->request, s->positions, s->n_positions, &s->offset);
}

static void put_choice(struct json_writer *w, struct openai_stream *s)
{
    const struct openai_request *r = s->request;
    json_open(w, '{');
    json_key(w, "index"), json_put_unsigned(w, s->prompt * (size_t)r->n + (size_t)s->sample);
    put_text(w, s);
    put_logprobs(w, s);
    if (s->ended) {
        openai_finish_write(w, r, s->sample, &s->result);
    } else {
        json_key(w, "finish_reason"), json_put_null(w);
        json_key(w, "stop_reason"), json_put_null(w);
        json_key(w, "seed"), json_put_integer(w, (int64_t)(r->request.sampling.seed + (uint64_t)s->sample));
    }
    if (r->return_token_ids) {
        if (!s->begun) openai_ids_write(w, "prompt_token_ids", s->prompt_ids, s->n_prompt);
        openai_ids_write(w, "token_ids", s->ids, s->n_ids);
    }
    json_close(w, '}');
}

void openai_stream_event(struct openai_stream *s, const struct openai_head *head, const char *extra,
                         struct json_writer *w)
{
    json_open(w, '{');
    openai_head_write(w, head, s->chat ? "chat.completion.chunk" : "text_completion");
    json_key(w, "choices"), json_open(w, '['), put_choice(w, s), json_close(w, ']');
    if (extra) json_put_raw(w, extra, strlen(extra));
    json_close(w, '}');
    if (s->failed) w->failed = true;
    s->begun = true;
    s->finished = s->ended;
    s->n_text = s->n_positions = s->n_ids = 0;
}
