/* Bodies of /tokenize and /detokenize (vLLM's shapes, llama-server's names beside them), and their answers. */
#ifndef OPENAI_TOKENS_H
#define OPENAI_TOKENS_H
#include "openai/fields.h"

struct tokens_request {
    char *model;  /* NULL: none was named */
    char *text;   /* of /tokenize */
    int32_t *ids; /* of /detokenize */
    size_t n_ids;
    bool parse_special, return_token_strs, with_pieces;
};

gpt2q_status tokenize_read(const char *body, size_t n, struct tokens_request *out, struct openai_error *err);
gpt2q_status detokenize_read(const char *body, size_t n, struct tokens_request *out,
                             struct openai_error *err);
void tokens_request_free(struct tokens_request *r);

gpt2q_status tokenize_write(struct json_writer *w, const gpt2q_model *model, int32_t n_ctx,
                            const struct tokens_request *r, struct openai_error *err);
gpt2q_status detokenize_write(struct json_writer *w, const gpt2q_model *model, const struct tokens_request *r,
                              struct openai_error *err);
#endif
