#include "tokenizer/tokenizer.h"
#include "base/memory.h"
#include "tokenizer/bpe.h"
#include "tokenizer/directory.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/vocabulary.h"

/* The first byte without a token; n if all have one. */
static size_t lacks_byte(const struct tokenizer *t, const char *text, size_t n)
{
    size_t i = t->missing ? 0 : n;
    while (i < n && t->byte_id[(unsigned char)text[i]] != NO_TOKEN) i++;
    return i;
}

/* In a trained vocabulary nearly all tokens are words. But merges may not reach a token; then a piece spelled like it gets other
 * ids. */
gpt2q_status tokenizer_find_words(struct tokenizer *t, gpt2q_error *err)
{
    for (int32_t id = 0; id < t->bytes.n; id++) {
        size_t n;
        const uint8_t *bytes = token_find(&t->bytes, id, &n);
        if (!bytes || lacks_byte(t, (const char *)bytes, n) != n) continue;
        int32_t first = NO_TOKEN;
        struct encoding e = {.ids = &first, .capacity = 1};
        gpt2q_status s = bpe_encode(t, bytes, n, &e, err);
        if (s) return s;
        if (e.n == 1 && first == id) byte_table_mark_word(&t->tokens, &t->bytes, id);
    }
    return GPT2Q_OK;
}

/* Of the texts, or of the names. */
static gpt2q_status make(struct tokenizer *t, const struct tokenizer_texts *x,
                         const struct tokenizer_names *names, gpt2q_error *err)
{
    const struct tokenizer_text *text = names ? &names->extras : &x->extras;
    const bool extras = text->text;
    gpt2q_status s = GPT2Q_OK;
    if (extras) s = extras_parse(text->text, text->size, text->name, &t->extras, err);
    if (!s && names) s = vocabulary_read_names(t, names, extras, err);
    if (!s && !names)
        s = vocabulary_read(t, x->vocab.text, x->vocab.size, x->vocab.name, x->merges.text, x->merges.size,
                            x->merges.name, extras, err);
    if (!s && !extras) s = extras_plain(t->end_of_text, &t->extras, err);
    return s;
}

static gpt2q_status create(const struct tokenizer_texts *texts, const struct tokenizer_names *names,
                           struct tokenizer **out, gpt2q_error *err)
{
    *out = NULL;
    struct tokenizer *t = mem_zalloc(sizeof *t);
    if (!t) return error_memory(err, "the tokenizer", sizeof *t);
    gpt2q_status s = make(t, texts, names, err);
    if (s) {
        tokenizer_free(t);
        return s;
    }
    *out = t;
    return GPT2Q_OK;
}

gpt2q_status tokenizer_from_texts(const struct tokenizer_texts *texts, struct tokenizer **out,
                                  gpt2q_error *err)
{
    return create(texts, NULL, out, err);
}

gpt2q_status tokenizer_from_names(const struct tokenizer_names *names, struct tokenizer **out,
                                  gpt2q_error *err)
{
    return create(NULL, names, out, err);
}

gpt2q_status tokenizer_from_memory(const char *vocab, size_t vocab_size, const char *vocab_name,
                                   const char *merges, size_t merges_size, const char *merges_name,
                                   struct tokenizer **out, gpt2q_error *err)
{
    struct tokenizer_texts texts = {.vocab = {vocab, vocab_size, vocab_name},
                                    .merges = {merges, merges_size, merges_name}};
    return tokenizer_from_texts(&texts, out, err);
}

gpt2q_status tokenizer_open(const char *directory, struct tokenizer **out, gpt2q_error *err)
{
    struct directory_texts d;
    *out = NULL;
    gpt2q_status s = directory_read(directory, &d, err);
    if (!s) s = tokenizer_from_texts(&d.texts, out, err);
    directory_free(&d);
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
    extras_free(&t->extras);
    mem_free(t);
}

int32_t tokenizer_size(const struct tokenizer *t) { return t->bytes.n; }
int32_t tokenizer_end_of_text(const struct tokenizer *t) { return t->end_of_text; }
size_t tokenizer_longest(const struct tokenizer *t) { return t->bytes.longest; }

const char *tokenizer_bytes(const struct tokenizer *t, int32_t id, size_t *len)
{
    return (const char *)token_find(&t->bytes, id, len);
}

/* A word is marked when it first occurs: to try all tokens takes a third of the time that a vocabulary takes to read. */
static gpt2q_status encode_piece(const struct tokenizer *t, const uint8_t *piece, size_t n,
                                 struct encoding *e, gpt2q_error *err)
{
    const uint32_t entry =
        n <= t->bytes.longest ? byte_table_look_up(&t->tokens, &t->bytes, piece, n) : EMPTY_BYTE;
    const int32_t token = entry == EMPTY_BYTE ? NO_TOKEN : (int32_t)(entry & ID_MASK);
    if (token != NO_TOKEN && entry & WORD_BIT) {
        encoding_put(e, token);
        return GPT2Q_OK;
    }
    const size_t before = e->n;
    gpt2q_status s = bpe_encode(t, piece, n, e, err);
    const bool word = !s && token != NO_TOKEN && e->n == before + 1; /* no other token has these bytes */
    if (word && !t->mapped) byte_table_mark_word(&t->tokens, &t->bytes, token);
    return s;
}

static gpt2q_status encode_pieces(const struct tokenizer *t, const char *text, size_t len, struct encoding *e,
                                  gpt2q_error *err)
{
    size_t lacking = lacks_byte(t, text, len);
    if (lacking < len)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "the text has the byte 0x%02X, for which the vocabulary has no token",
                         (unsigned)(unsigned char)text[lacking]);
    while (len > 0) {
        size_t n = pretokenizer_next(text, len);
        gpt2q_status s = encode_piece(t, (const uint8_t *)text, n, e, err);
        if (s) return s;
        text += n;
        len -= n;
    }
    return GPT2Q_OK;
}

struct encoder {
    const struct tokenizer *t;
    struct encoding *e;
    bool prefix; /* a stretch that does not begin with a space gets one */
};

static gpt2q_status take_part(void *user, struct text_part part, gpt2q_error *err)
{
    const struct encoder *encoder = user;
    if (part.id != NO_TOKEN) {
        encoding_put(encoder->e, part.id);
        return GPT2Q_OK;
    }
    if (!encoder->prefix || *part.text == ' ')
        return encode_pieces(encoder->t, part.text, part.n, encoder->e, err);
    char *with = mem_alloc(part.n + 1);
    if (!with) return error_memory(err, "a text", part.n + 1);
    with[0] = ' ';
    memcpy(with + 1, part.text, part.n);
    gpt2q_status s = encode_pieces(encoder->t, with, part.n + 1, encoder->e, err);
    mem_free(with);
    return s;
}

size_t tokenizer_max_ids(const struct tokenizer *t, size_t len)
{
    const struct extras *x = &t->extras;
    /* A stretch with its space may have one id more than bytes, with a token of one byte between two
     * stretches. Where tokens strip white space, some of it may count twice (added.c). */
    bool simple = !x->add_prefix_space && (x->n == 0 || (x->n == 1 && x->tokens[0].flags.special));
    return (simple ? len : 3 * len + 1) + (size_t)(x->n_before + x->n_after);
}

gpt2q_status tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                              int32_t *ids, size_t capacity, size_t *n, gpt2q_error *err)
{
    const struct extras *x = &t->extras;
    bool whole = !(flags & TOKENIZER_CONTINUE);
    struct encoding e = {.ids = ids, .capacity = capacity};
    struct encoder encoder = {.t = t, .e = &e, .prefix = x->add_prefix_space && whole};
    for (int i = 0; whole && i < x->n_before; i++) encoding_put(&e, x->before[i]);
    gpt2q_status s = extras_split(x, text, len, flags & TOKENIZER_SPECIAL, take_part, &encoder, err);
    for (int i = 0; whole && i < x->n_after; i++) encoding_put(&e, x->after[i]);
    *n = s ? 0 : e.n;
    return s;
}
