/* A token has one name. Added tokens and names outside the byte alphabet stand as they are. All others are spelled in it. */
#include "quantize/gguf_tokens.h"
#include "base/memory.h"
#include "tokenizer/merges.h"
#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 }; /* llama.cpp's */

struct name {
    const char *text;
    size_t n;
    uint32_t type;
    int32_t id;
};
struct names {
    const struct tokenizer *t;
    struct name *of; /* (rows), by id */
    char *text;      /* what is spelled here */
    size_t used;
    int32_t rows;
};

static void name_token(struct names *n, int32_t id)
{
    size_t length;
    const char *bytes = tokenizer_bytes(n->t, id, &length);
    struct name *to = &n->of[id];
    *to = (struct name){.text = n->text + n->used, .id = id, .type = TYPE_NORMAL};
    if (!bytes) {
        to->n = (size_t)sprintf(n->text + n->used, "[PAD%d]", (int)id);
        to->type = TYPE_UNUSED;
    } else if (byte_table_find(&n->t->tokens, &n->t->bytes, (const uint8_t *)bytes, length) == id) {
        to->n = alphabet_spell(bytes, length, n->text + n->used);
    } else { /* a name that no merge makes */
        memcpy(n->text + n->used, bytes, length);
        to->n = length;
    }
    n->used += to->n;
}

#define PAD_MAX 16

static gpt2q_status name_all(struct names *n, const char *model, gpt2q_error *err)
{
    const struct tokenizer *t = n->t;
    if (tokenizer_size(t) > n->rows)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: has tokens for %d ids and wte.weight %d rows", model,
                         (int)tokenizer_size(t), (int)n->rows);
    const size_t rows = (size_t)n->rows, room = 2 * t->bytes.size + rows * PAD_MAX + 4 * t->bytes.longest + 1;
    n->of = mem_zarray(rows, sizeof *n->of);
    n->text = mem_alloc(room);
    if (!n->of || !n->text) return error_memory(err, "the vocabulary", room);
    for (int32_t id = 0; id < n->rows; id++) name_token(n, id);
    for (size_t i = 0; i < t->extras.n; i++) {
        const struct added_token *a = &t->extras.tokens[i];
        if (a->id < n->rows)
            n->of[a->id] =
                (struct name){a->content, a->n, a->flags.special ? TYPE_CONTROL : TYPE_USER, a->id};
    }
    return GPT2Q_OK;
}

static int compare_names(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    const int order = memcmp(x->text, y->text, x->n < y->n ? x->n : y->n);
    return order ? order : x->n < y->n ? -1 : x->n > y->n;
}

static gpt2q_status check_distinct(const struct names *n, const char *model, gpt2q_error *err)
{
    struct name *sorted = mem_array((size_t)n->rows, sizeof *sorted);
    if (!sorted) return error_memory(err, "the vocabulary", (size_t)n->rows * sizeof *sorted);
    memcpy(sorted, n->of, (size_t)n->rows * sizeof *sorted);
    qsort(sorted, (size_t)n->rows, sizeof *sorted, compare_names);
    gpt2q_status s = GPT2Q_OK;
    for (int32_t i = 1; i < n->rows && !s; i++)
        if (!compare_names(&sorted[i - 1], &sorted[i]))
            s = error_set(err, GPT2Q_UNSUPPORTED,
                          "%s: tokens %d and %d would both be called \"%.*s\" in a GGUF file", model,
                          (int)sorted[i - 1].id, (int)sorted[i].id,
                          (int)(sorted[i].n < 60 ? sorted[i].n : 60), sorted[i].text);
    mem_free(sorted);
    return s;
}

/* ---- merges ---- */

/* Appends a part to the text of a merge. False: it is an added token of another name, and no reader would find it. */
static bool put_part(struct names *n, int32_t id)
{
    size_t length;
    const char *bytes = tokenizer_bytes(n->t, id, &length);
    const struct name *name = &n->of[id];
    const size_t spelled = bytes ? alphabet_spell(bytes, length, n->text + n->used) : 0;
    const bool same = spelled == name->n && !memcmp(n->text + n->used, name->text, spelled);
    n->used += spelled;
    return same;
}

/* Each merge is spelled behind the names. The next one takes its place. */
static gpt2q_status put_merges(struct gguf_header *h, struct names *n, const char *model, gpt2q_error *err)
{
    uint32_t count;
    const size_t begin = n->used;
    uint64_t *by_rank = pair_table_by_rank(&n->t->pairs, &count);
    gpt2q_status s =
        by_rank ? GPT2Q_OK : error_memory(err, "the merges", n->t->pairs.n_ranks * sizeof *by_rank);
    if (!s) gguf_put_array(h, "tokenizer.ggml.merges", GGUF_STRING, count);
    for (uint32_t r = 0; r < n->t->pairs.n_ranks && !s; r++) {
        if (by_rank[r] == EMPTY_PAIR) continue;
        const int32_t left = (int32_t)(by_rank[r] >> 2 * ID_BITS),
                      right = (int32_t)(by_rank[r] >> ID_BITS & ID_MASK);
        n->used = begin;
        bool same = put_part(n, left);
        n->text[n->used++] = ' ';
        same &= put_part(n, right);
        gguf_put_string(h, n->text + begin, n->used - begin);
        if (!same)
            s = error_set(
                err, GPT2Q_UNSUPPORTED,
                "%s: merge %u is of token %d or %d, an added token that a GGUF file spells otherwise", model,
                (unsigned)r, (int)left, (int)right);
    }
    mem_free(by_rank);
    return s;
}

/* ---- all ---- */

static gpt2q_status put_all(struct gguf_header *h, struct names *n, const char *model, gpt2q_error *err)
{
    gpt2q_status s = name_all(n, model, err);
    if (!s) s = check_distinct(n, model, err);
    if (s) return s;
    gguf_put_text(h, "tokenizer.ggml.model", "gpt2", 4);
    gguf_put_text(h, "tokenizer.ggml.pre", "gpt-2", 5);
    gguf_put_array(h, "tokenizer.ggml.tokens", GGUF_STRING, (uint64_t)n->rows);
    for (int32_t i = 0; i < n->rows; i++) gguf_put_string(h, n->of[i].text, n->of[i].n);
    gguf_put_array(h, "tokenizer.ggml.token_type", GGUF_I32, (uint64_t)n->rows);
    for (int32_t i = 0; i < n->rows; i++) gguf_put_u32(h, n->of[i].type);
    return put_merges(h, n, model, err);
}

gpt2q_status gguf_put_tokens(struct gguf_header *h, const struct tokenizer *t, int32_t rows,
                             const char *model, gpt2q_error *err)
{
    struct names n = {.t = t, .rows = rows};
    gpt2q_status s = put_all(h, &n, model, err);
    mem_free(n.of);
    mem_free(n.text);
    return s;
}
