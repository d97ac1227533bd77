#include "tokenizer/tokenizer.h"
#include "base/file.h"
#include "base/memory.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/vocabulary.h"

/* Finds the words, the tokens that their own bytes encode to. In a vocabulary made by training these are
 * nearly all, but a token may be out of reach of the merges, and then a piece spelled like it gets other ids.
 */
static gpt2q_status find_words(struct tokenizer *t, gpt2q_error *err)
{
    for (int32_t id = 0; id < t->bytes.n; id++) {
        size_t n;
        const uint8_t *bytes = token_find(&t->bytes, id, &n);
        if (!bytes) continue;
        int32_t first = NO_TOKEN;
        struct encoding e = {.ids = &first, .capacity = 1};
        gpt2q_status s = bpe_encode(t, bytes, n, &e, err);
        if (s) return s;
        if (e.n == 1 && first == id) byte_table_mark_word(&t->tokens, &t->bytes, id);
    }
    return GPT2Q_OK;
}

gpt2q_status tokenizer_from_memory(const char *vocab, size_t vocab_size, const char *vocab_name,
                                   const char *merges, size_t merges_size, const char *merges_name,
                                   struct tokenizer **out, gpt2q_error *err)
{
    *out = NULL;
    struct tokenizer *t = mem_zalloc(sizeof *t);
    if (!t) return error_memory(err, "the tokenizer", sizeof *t);
    gpt2q_status s = vocabulary_read(t, vocab, vocab_size, vocab_name, merges, merges_size, merges_name, err);
    if (!s) s = find_words(t, err);
    if (s) {
        tokenizer_free(t);
        return s;
    }
    *out = t;
    return GPT2Q_OK;
}

static gpt2q_status open_files(const char *vocab, const char *merges, struct tokenizer **out,
                               gpt2q_error *err)
{
    char *vocab_text = NULL, *merges_text = NULL;
    size_t vocab_size = 0, merges_size = 0;
    gpt2q_status s = file_read(vocab, VOCABULARY_MAX_BYTES, &vocab_text, &vocab_size, err);
    if (!s && merges) s = file_read(merges, VOCABULARY_MAX_BYTES, &merges_text, &merges_size, err);
    if (!s)
        s = tokenizer_from_memory(vocab_text, vocab_size, vocab, merges_text, merges_size, merges, out, err);
    mem_free(vocab_text);
    mem_free(merges_text);
    return s;
}

gpt2q_status tokenizer_open(const char *directory, struct tokenizer **out, gpt2q_error *err)
{
    *out = NULL;
    char *vocab = path_join(directory, "vocab.json"), *merges = path_join(directory, "merges.txt");
    char *both = path_join(directory, "tokenizer.json");
    gpt2q_status s;
    if (!vocab || !merges || !both)
        s = error_memory(err, "a path", strlen(directory));
    else if (file_exists(vocab) && (file_exists(merges) || !file_exists(both)))
        s = open_files(vocab, merges, out, err);
    else if (file_exists(both))
        s = open_files(both, NULL, out, err);
    else
        s = error_set(err, GPT2Q_IO, "%s: holds neither vocab.json and merges.txt nor tokenizer.json",
                      directory);
    mem_free(vocab);
    mem_free(merges);
    mem_free(both);
    return s;
}

void tokenizer_free(struct tokenizer *t)
{
    if (!t) return;
    if (!t->mapped) {
        mem_free(t->bytes.data);
        mem_free(t->bytes.at);
        mem_free(t->tokens.slots);
        mem_free(t->pairs.slots);
        mem_free(t->merged);
    }
    mem_free(t);
}

int32_t tokenizer_size(const struct tokenizer *t) { return t->bytes.n; }
int32_t tokenizer_end_of_text(const struct tokenizer *t) { return t->end_of_text; }
size_t tokenizer_longest(const struct tokenizer *t) { return t->bytes.longest; }

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len)
{
    return (const char *)token_find(&t->bytes, id, len);
}

/* Text without special tokens. */
static gpt2q_status encode_text(const struct tokenizer *t, const char *text, size_t len, struct encoding *e,
                                gpt2q_error *err)
{
    while (len > 0) {
        size_t n = pretokenizer_next(text, len);
        const uint8_t *piece = (const uint8_t *)text;
        int32_t word =
            n <= t->bytes.longest ? byte_table_find_word(&t->tokens, &t->bytes, piece, n) : NO_TOKEN;
        gpt2q_status s = GPT2Q_OK;
        if (word != NO_TOKEN)
            encoding_put(e, word);
        else
            s = bpe_encode(t, piece, n, e, err);
        if (s) return s;
        text += n;
        len -= n;
    }
    return GPT2Q_OK;
}

gpt2q_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, bool special,
                              int32_t *ids, size_t capacity, size_t *n, gpt2q_error *err)
{
    const size_t mark = strlen(END_OF_TEXT);
    struct encoding e = {.ids = ids, .capacity = capacity};
    gpt2q_status s = GPT2Q_OK;
    while (len > 0 && !s) {
        const char *end = special && t->end_of_text != NO_TOKEN ? memmem(text, len, END_OF_TEXT, mark) : NULL;
        size_t plain = end ? (size_t)(end - text) : len;
        s = encode_text(t, text, plain, &e, err);
        if (end && !s) encoding_put(&e, t->end_of_text);
        text += plain + (end ? mark : 0);
        len -= plain + (end ? mark : 0);
    }
    *n = s ? 0 : e.n;
    return s;
}
