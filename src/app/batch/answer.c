#include "app/batch/answer.h"
#include "app/common.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>

gpt2q_status batch_answer_begin(struct batch_answer *a, const gpt2q_model *model,
                                const struct batch_line *line, gpt2q_error *err)
{
    size_t n = line->asked.n_prompts * (size_t)line->asked.request.n_samples;
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
    for (size_t i = 0; a->choices && i < a->n_choices; i++) mem_free(a->choices[i].fields);
    mem_free(a->choices);
    *a = (struct batch_answer){0};
}

/* ---- gpt2q's own shape ---- */

/* Writes the fields of one sample. A single sample's fields stand in the line itself, with the counts
 * between them. Several samples have an object each. */
static void own_fields(struct json_writer *w, const struct batch_answer *a, const struct prompt *prompt,
                       int32_t sample, const gpt2q_result *r)
{
    const gpt2q_request *q = &a->line->asked.request;
    size_t n;
    char *text = completion_text(a->model, prompt, q->echo, r, &n);
    if (!text) {
        w->failed = true;
        return;
    }
    bool one = a->n_choices == 1;
    if (!one) json_open(w, '{');
    json_key(w, "ids"), put_ids(w, r->ids, r->n_ids);
    json_key(w, "text"), json_put_bytes(w, text, n);
    mem_free(text);
    if (one) {
        json_key(w, "prompt_tokens"), json_put_unsigned(w, r->n_prompt);
        json_key(w, "completion_tokens"), json_put_unsigned(w, r->n_ids);
    }
    json_key(w, "finish_reason"), json_put_string(w, finish_name(r->finish));
    if (!one) json_key(w, "seed"), json_put_unsigned(w, q->sampling.seed + (uint64_t)sample);
    if (q->n_logprobs >= 0)
        json_key(w, "logprobs"), put_logprobs(w, r->positions, r->n_positions, q->n_logprobs);
    if (!one) json_close(w, '}');
}

static void put_choice(struct json_writer *w, const char *choice) { json_put_raw(w, choice, strlen(choice)); }

static void own_choices(struct json_writer *w, const struct batch_answer *a)
{
    if (a->n_choices == 1) {
        put_choice(w, a->choices[0].fields);
        return;
    }
    json_key(w, "samples"), json_open(w, '[');
    for (size_t i = 0; i < a->n_choices; i++) put_choice(w, a->choices[i].fields);
    json_close(w, ']');
    json_key(w, "prompt_tokens"), json_put_unsigned(w, a->prompt_tokens);
    json_key(w, "completion_tokens"), json_put_unsigned(w, a->completion_tokens);
}

static const char *error_code(gpt2q_status status)
{
    switch (status) {
    case GPT2Q_OUT_OF_MEMORY: return "out_of_memory";
    case GPT2Q_NON_FINITE: return "non_finite";
    default: return "invalid_request";
    }
}

static void put_error(struct json_writer *w, const gpt2q_error *err)
{
    json_key(w, "error"), json_open(w, '{');
    json_key(w, "code"), json_put_string(w, error_code(err->status));
    json_key(w, "message"), json_put_string(w, err->message);
    json_close(w, '}');
}

static void own_answer(struct json_writer *w, const struct batch_answer *a)
{
    json_key(w, "index"), json_put_unsigned(w, a->line->index);
    json_key(w, "id"), json_put_string(w, a->line->id);
    if (a->error.status) {
        put_error(w, &a->error);
        return;
    }
    const struct prompt *prompt = &a->line->asked.prompts[0];
    json_key(w, "prompt");
    if (prompt->text)
        json_put_bytes(w, prompt->text, prompt->n);
    else
        put_ids(w, prompt->ids, prompt->n_ids);
    own_choices(w, a);
}

/* ---- OpenAI's shape ---- */

static void put_numbered(struct json_writer *w, const char *key, const char *prefix, uint64_t index)
{
    char id[48];
    snprintf(id, sizeof id, "%s%llu", prefix, (unsigned long long)index);
    json_key(w, key), json_put_string(w, id);
}

static void put_response(struct json_writer *w, const struct batch_answer *a)
{
    char id[48];
    const struct openai_usage usage = {.prompt_tokens = a->prompt_tokens,
                                       .completion_tokens = a->completion_tokens};
    const struct openai_head head = {.id = id, .model = gpt2q_model_name(a->model)};
    snprintf(id, sizeof id, "cmpl-%llu", (unsigned long long)a->line->index);
    json_key(w, "response"), json_open(w, '{');
    json_key(w, "status_code"), json_put_integer(w, 200);
    put_numbered(w, "request_id", "req_", a->line->index);
    json_key(w, "body"),
        openai_completion_write(w, &head, "text_completion", &a->line->asked, a->choices, &usage, NULL);
    json_close(w, '}');
}

static void openai_answer(struct json_writer *w, const struct batch_answer *a)
{
    put_numbered(w, "id", "batch_req_", a->line->index);
    json_key(w, "custom_id"), json_put_string(w, a->line->id);
    if (a->error.status) {
        json_key(w, "response"), json_put_null(w);
        put_error(w, &a->error);
        return;
    }
    put_response(w, a);
    json_key(w, "error"), json_put_null(w);
}

/* ---- either ---- */

void batch_answer_add(struct batch_answer *a, size_t prompt, int32_t sample, const gpt2q_result *r)
{
    const struct openai_request *asked = &a->line->asked;
    size_t number = prompt * (size_t)asked->request.n_samples + (size_t)sample;
    struct json_writer w = {0};
    a->n_ended++;
    if (sample == 0) a->prompt_tokens += r->n_prompt;
    a->completion_tokens += r->n_ids;
    if (r->finish == GPT2Q_FINISH_ERROR) {
        batch_answer_refuse(a, &r->error);
        return;
    }
    if (a->line->format == BATCH_OPENAI) {
        if (!openai_choice_make(&a->choices[number], a->model, asked, prompt, sample, r))
            a->out_of_memory = true;
        return;
    }
    own_fields(&w, a, &asked->prompts[prompt], sample, r);
    a->choices[number].fields = json_finish(&w);
    if (!a->choices[number].fields) a->out_of_memory = true;
}

gpt2q_status batch_answer_print(struct batch_answer *a, char **text, gpt2q_error *err)
{
    struct json_writer w = {0};
    *text = NULL;
    if (!a->out_of_memory) {
        json_open(&w, '{');
        (a->line->format == BATCH_OPENAI ? openai_answer : own_answer)(&w, a);
        json_close(&w, '}');
        *text = json_finish(&w);
    }
    return *text ? GPT2Q_OK
                 : error_set(err, GPT2Q_OUT_OF_MEMORY, "out of memory: the answer to line %llu does not fit",
                             (unsigned long long)a->line->index + 1);
}
