#include "methods/calibration.h"
#include "base/file.h"
#include "base/memory.h"
#include "tokenizer/tokenizer.h"
#include <string.h>

#define MAX_TEXT       ((size_t)1 << 32)
#define BYTES_OF_TOKEN 8 /* bytes read per token at first; then they are cut back to whole lines */

static size_t whole_lines(const char *text, size_t n)
{
    size_t end = n;
    while (end && text[end - 1] != '\n') end--;
    return end ? end : n;
}

/* Writes the first `wanted` ids of a text, or all if there are fewer, to ids. */
static gpt2q_status encode_beginning(const struct tokenizer *t, const char *text, size_t n, size_t wanted,
                                     int32_t *ids, size_t *found, gpt2q_error *err)
{
    for (size_t bytes = BYTES_OF_TOKEN * wanted;; bytes *= 2) {
        const size_t take = bytes < n ? whole_lines(text, bytes) : n;
        gpt2q_status s = tokenizer_encode(t, text, take, false, ids, wanted, found, err);
        if (s) return s;
        if (*found > wanted) *found = wanted;
        if (*found == wanted || take == n) return GPT2Q_OK;
    }
}

static gpt2q_status check_ids(const struct calibration_text *text, const int32_t *ids, size_t n,
                              int32_t vocab_size, gpt2q_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab_size)
            return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: token %zu is %d, but the model knows %d",
                             file_spoken_name(text->path), i, (int)ids[i], (int)vocab_size);
    return GPT2Q_OK;
}

static gpt2q_status add_text(struct calibration *c, struct calibration_text *text, const struct tokenizer *t,
                             int32_t vocab_size, gpt2q_error *err)
{
    char *bytes;
    size_t n, found;
    struct sha256 sum;
    gpt2q_status s = file_read_text(text->path, MAX_TEXT, &bytes, &n, err);
    if (s) return s;
    sha256_begin(&sum);
    sha256_add(&sum, bytes, n);
    sha256_print(&sum, text->sha256);
    int32_t *ids = c->ids + (size_t)c->windows * (size_t)c->window;
    s = encode_beginning(t, bytes, n, (size_t)text->asked * (size_t)c->window, ids, &found, err);
    mem_free(bytes);
    if (!s) s = check_ids(text, ids, found, vocab_size, err);
    if (s) return s;
    text->windows = (int)(found / (size_t)c->window);
    c->windows += text->windows;
    if (text->windows) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: its %zu tokens are too few for a window of %d",
                     file_spoken_name(text->path), found, c->window);
}

gpt2q_status calibration_open(const struct calibration_params *p, const struct tokenizer *tokenizer,
                              int32_t vocab_size, struct calibration *out, gpt2q_error *err)
{
    *out = (struct calibration){
        .window = p->window, .asked = (int)(p->tokens / p->window), .n_texts = p->n_paths};
    if ((size_t)out->asked < p->n_paths)
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "%lld calibration tokens are too few for a window of %d from each text: %lld are needed",
            (long long)p->tokens, p->window, (long long)p->n_paths * p->window);
    out->texts = mem_zarray(p->n_paths, sizeof *out->texts);
    out->ids = mem_array((size_t)out->asked, (size_t)p->window * sizeof *out->ids);
    gpt2q_status s = out->texts && out->ids
                         ? GPT2Q_OK
                         : error_memory(err, "the calibration tokens",
                                        (size_t)out->asked * (size_t)p->window * sizeof *out->ids);
    for (size_t i = 0; i < p->n_paths && !s; i++) {
        const size_t n = (size_t)out->asked, share = n * (i + 1) / p->n_paths - n * i / p->n_paths;
        out->texts[i] = (struct calibration_text){.path = p->paths[i], .asked = (int)share};
        s = add_text(out, &out->texts[i], tokenizer, vocab_size, err);
    }
    if (s) calibration_close(out);
    return s;
}

void calibration_close(struct calibration *c)
{
    mem_free(c->ids);
    mem_free(c->texts);
    *c = (struct calibration){0};
}
