/* A sample on its way to the client, as events: what it made since the last event becomes the next one. The texts of all events of
 * a choice, joined, are the text of the answer in one piece, and so are the arrays of its log-probabilities. No event splits a code
 * point.
 *
 * Callbacks of the scheduler fill it; its buffers grow with what waits, not with what was made. It has no lock: whoever fills it
 * from one thread and reads it from another has one. */
#ifndef OPENAI_STREAM_H
#define OPENAI_STREAM_H
#include "openai/answer.h"
#include "tokenizer/tokenizer.h"

struct openai_stream {
    const gpt2q_model *model;
    const struct openai_request *request;
    size_t prompt;
    int32_t sample;
    bool chat;
    struct stream_decoder decoder;
    char *text; /* whole code points that wait */
    size_t n_text, text_capacity;
    gpt2q_position *positions; /* that wait, with request.n_logprobs entries of top each */
    gpt2q_token_logprob *top;
    size_t n_positions, positions_capacity, n_taken; /* n_taken: positions of the sample so far */
    int32_t *ids;                                    /* that wait */
    size_t n_ids, ids_capacity;
    int32_t *prompt_ids;
    size_t n_prompt, offset;
    bool begun, ended, finished; /* an event was written; the sample has ended; its last event was written */
    bool failed;                 /* memory was out */
    gpt2q_result result;         /* once ended: finish and stop, no pointers but stop */
    char *stop;
};

void openai_stream_begin(struct openai_stream *s, const gpt2q_model *model,
                         const struct openai_request *request, size_t prompt, int32_t sample, bool chat);
void openai_stream_free(struct openai_stream *s);

/* The sample was given a row, and this is its prompt after truncation. Further calls change nothing. */
void openai_stream_prompt(struct openai_stream *s, const int32_t *ids, size_t n);
void openai_stream_token(struct openai_stream *s, const gpt2q_position *position);
void openai_stream_text(struct openai_stream *s, const char *text, size_t n);
void openai_stream_end(struct openai_stream *s, const gpt2q_result *result);

/* There is something to say. */
bool openai_stream_has_event(const struct openai_stream *s);
/* Bytes that wait. */
size_t openai_stream_pending(const struct openai_stream *s);
/* One object with one choice: all that waits. `extra` (JSON fields, may be NULL) stands at its end. */
void openai_stream_event(struct openai_stream *s, const struct openai_head *head, const char *extra,
                         struct json_writer *w);
#endif
