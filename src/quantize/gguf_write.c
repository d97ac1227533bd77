/* The header comes first and holds every offset, so types and sizes are chosen before the first tensor is quantized. */
#include "quantize/gguf_write.h"
#include "base/checked.h"
#include "base/memory.h"
#include "model/gguf_encode.h"
#include "model/gguf_model.h"
#include "quantize/gguf_header.h"
#include "quantize/gguf_tokens.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 32

struct gguf_entry {
    struct weight_id id;
    const struct gguf_type *type;
    size_t bytes;
};

struct gguf_writer {
    struct file_writer file;
    const struct quantizer *q;  /* the caller's */
    struct gguf_entry *entries; /* in the order they come */
    size_t n, n_put;
    struct gguf_header header;
    uint64_t written; /* of the data */
};

/* ---- order: token_embd, position_embd, output_norm, output, the blocks ---- */

static int place(struct weight_id id)
{
    static const int once[PART_COUNT] = {
        [PART_WTE] = 0, [PART_WPE] = 1, [PART_LN_F_WEIGHT] = 2, [PART_LN_F_BIAS] = 3, [PART_LM_HEAD] = 4};
    return id.part < BLOCK_PARTS ? 8 + id.layer * BLOCK_PARTS + (int)id.part : once[id.part];
}

static int compare_places(const void *a, const void *b)
{
    const int x = place(((const struct binding *)a)->id), y = place(((const struct binding *)b)->id);
    return (x > y) - (x < y);
}

/* ---- types ---- */

static gpt2q_status choose_type(const struct gguf_writer *w, size_t i, struct gguf_entry *e, gpt2q_error *err)
{
    char name[WEIGHT_NAME_MAX], text[SCHEME_TEXT_MAX];
    const struct scheme scheme = quantizer_scheme(w->q, i);
    const bool matrix = weight_is_matrix(e->id.part);
    int rows, cols;
    weight_rows_cols(&w->q->bindings.config, e->id.part, &rows, &cols);
    e->type = matrix && w->q->rounded_as ? w->q->rounded_as : gguf_type_of_scheme(scheme);
    if (!e->type && matrix)
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "%s: no GGUF type holds %s exactly; the nearest is %s, or --gguf-type rounds to another",
            weight_print(e->id, name), scheme_print(scheme, text), gguf_nearest_spec(scheme));
    if (!e->type) /* under notes */
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: no GGUF type holds %s; -q f32 or --gguf-type do",
                         weight_print(e->id, name), scheme_print(scheme, text));
    e->bytes = gguf_matrix_bytes(e->type, rows, cols);
    if (e->bytes) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "%s: has %d inputs, which is no multiple of the %d in a block of %s",
                     weight_print(e->id, name), cols, e->type->values, e->type->name);
}

static gpt2q_status choose_types(struct gguf_writer *w, gpt2q_error *err)
{
    const struct bindings *b = &w->q->bindings;
    gpt2q_status s = GPT2Q_OK;
    w->entries = mem_zarray(b->n, sizeof *w->entries);
    if (!w->entries) return error_memory(err, "a table of tensors", b->n * sizeof *w->entries);
    for (; w->n < b->n && !s; w->n += !s) {
        w->entries[w->n].id = b->items[w->n].id;
        s = choose_type(w, w->n, &w->entries[w->n], err);
    }
    return s;
}

/* ---- keys ---- */

/* llama.cpp's number for a file that is mostly of one type. Without another type it is all F32. */
static uint32_t file_type(const struct gguf_writer *w)
{
    static const struct {
        uint32_t type, number;
    } numbers[] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}, {8, 7}, {6, 8}, {7, 9}, {30, 32}, {39, 38}};
    uint64_t bytes[sizeof numbers / sizeof *numbers] = {0};
    size_t most = 0;
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            if (numbers[k].type == w->entries[i].type->id && weight_is_matrix(w->entries[i].id.part))
                bytes[k] += w->entries[i].bytes;
    for (size_t k = 1; k < sizeof numbers / sizeof *numbers; k++)
        if (bytes[k] > bytes[most]) most = k;
    return numbers[most].number;
}

static bool has_blocks(const struct gguf_writer *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (w->entries[i].type->codes) return true;
    return false;
}

static void put_config(struct gguf_writer *w, const gpt2q_config *c, const char *source)
{
    struct gguf_header *h = &w->header;
    gguf_put_text(h, "general.architecture", "gpt2", 4);
    gguf_put_text(h, "general.name", source, strlen(source));
    if (has_blocks(w)) gguf_put_integer(h, "general.quantization_version", 2);
    gguf_put_integer(h, "general.file_type", file_type(w));
    gguf_put_integer(h, "gpt2.context_length", (uint32_t)c->n_positions);
    gguf_put_integer(h, "gpt2.embedding_length", (uint32_t)c->n_embd);
    gguf_put_integer(h, "gpt2.feed_forward_length", (uint32_t)c->n_inner);
    gguf_put_integer(h, "gpt2.block_count", (uint32_t)c->n_layer);
    gguf_put_integer(h, "gpt2.attention.head_count", (uint32_t)c->n_head);
    gguf_put_float(h, "gpt2.attention.layer_norm_epsilon", c->layer_norm_epsilon);
}

/* Keys that other readers do not know. A key is left out if its absence means the same. */
static void put_own(struct gguf_header *h, const struct quantizer *q, const struct tokenizer_text *extras)
{
    const gpt2q_config *c = &q->bindings.config;
    if (strcmp(c->activation_function, "gelu_new") != 0)
        gguf_put_text(h, GGUF_OWN_ACTIVATION, c->activation_function, strlen(c->activation_function));
    if (!c->scale_attn_weights) gguf_put_bool(h, GGUF_OWN_SCALE, false);
    if (c->scale_attn_by_inverse_layer_idx) gguf_put_bool(h, GGUF_OWN_INVERSE, true);
    if (c->n_more_eos) gguf_put_array(h, GGUF_OWN_MORE_EOS, GGUF_I32, (uint64_t)c->n_more_eos);
    for (int32_t i = 0; i < c->n_more_eos; i++) gguf_put_u32(h, (uint32_t)c->more_eos_token_ids[i]);
    if (extras->text) gguf_put_text(h, GGUF_OWN_EXTRAS, extras->text, extras->size);
    if (q->method) gguf_put_text(h, GGUF_OWN_METHOD, q->method, strlen(q->method));
    if (q->calibration) gguf_put_text(h, GGUF_OWN_CALIBRATION, q->calibration, strlen(q->calibration));
}

static gpt2q_status put_vocabulary(struct gguf_writer *w, gpt2q_error *err)
{
    const struct bindings *b = &w->q->bindings;
    const gpt2q_config *c = &b->config;
    struct directory_texts texts;
    struct tokenizer *t = NULL;
    gpt2q_status s = bindings_texts(b, &texts, err);
    if (!s && !texts.texts.vocab.text)
        s = error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: has no vocabulary, which a GGUF file needs",
                      b->directory);
    if (!s) s = tokenizer_from_texts(&texts.texts, &t, err);
    if (!s) s = gguf_put_tokens(&w->header, t, c->vocab_size, b->directory, err);
    if (!s && c->bos_token_id >= 0)
        gguf_put_integer(&w->header, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos_token_id);
    if (!s && c->eos_token_id >= 0)
        gguf_put_integer(&w->header, "tokenizer.ggml.eos_token_id", (uint32_t)c->eos_token_id);
    if (!s) put_own(&w->header, w->q, &texts.texts.extras);
    tokenizer_free(t);
    directory_free(&texts);
    return s;
}

static void put_tensors(struct gguf_writer *w)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct gguf_entry *e = &w->entries[i];
        char name[GGUF_NAME_MAX];
        uint64_t shape[2];
        int rows, cols;
        const int n_dims = weight_shape(&w->q->bindings.config, e->id.part, shape);
        weight_rows_cols(&w->q->bindings.config, e->id.part, &rows, &cols);
        const uint64_t ne[2] = {(uint64_t)cols, (uint64_t)rows};
        gguf_put_tensor(&w->header, gguf_print_name(e->id, name), n_dims, ne, e->type, offset);
        offset += round_up(e->bytes, ALIGNMENT);
    }
}

/* ---- what would be lost ---- */

static gpt2q_status check_methods(const struct quantizer *q, gpt2q_error *err)
{
    if (q->factors)
        return error_set(
            err, GPT2Q_UNSUPPORTED,
            "%s: has factors of the inputs of mlp.c_proj, which its activation_function %s does not let awq "
            "fold into mlp.c_fc; a GGUF file has no place for them, a .gpt2q file has (--awq-sites ln,v "
            "makes none)",
            q->bindings.directory, q->bindings.config.activation_function);
    if (!q->static_scales) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "%s: has scales for -a static, for which a GGUF file has no place; a .gpt2q file has",
                     q->bindings.directory);
}

static gpt2q_status check_config(const struct quantizer *q, gpt2q_error *err)
{
    const gpt2q_config *c = &q->bindings.config;
    const char *lost = strcmp(c->activation_function, "gelu_new") != 0 ? "activation_function"
                       : !c->scale_attn_weights                        ? "scale_attn_weights"
                       : c->scale_attn_by_inverse_layer_idx            ? "scale_attn_by_inverse_layer_idx"
                                                                       : NULL;
    if (!lost) return GPT2Q_OK;
    return error_set(
        err, GPT2Q_UNSUPPORTED,
        "%s: its %s is not GPT-2's and stands in no GGUF key that other programs know: they would "
        "give other texts; --force writes the file for gpt2q",
        q->bindings.directory, lost);
}

/* ---- the writer ---- */

static void writer_free(struct gguf_writer *w)
{
    mem_free(w->header.data);
    mem_free(w->entries);
    mem_free(w);
}

void gguf_writer_abort(struct gguf_writer *w)
{
    if (!w) return;
    if (w->file.path) file_writer_abort(&w->file);
    writer_free(w);
}

static gpt2q_status make_header(struct gguf_writer *w, const char *source, gpt2q_error *err)
{
    gpt2q_status s = choose_types(w, err);
    if (s) return s;
    gguf_header_begin(&w->header);
    put_config(w, &w->q->bindings.config, source);
    s = put_vocabulary(w, err);
    if (s) return s;
    put_tensors(w);
    return gguf_header_end(&w->header, ALIGNMENT, err);
}

gpt2q_status gguf_writer_open(const char *path, struct quantizer *q, const char *source, bool force,
                              struct gguf_writer **out, gpt2q_error *err)
{
    *out = NULL;
    gpt2q_status s = check_methods(q, err);
    if (!s && !force) s = check_config(q, err);
    if (s) return s;
    struct gguf_writer *w = mem_zalloc(sizeof *w);
    if (!w) return error_memory(err, "a writer", sizeof *w);
    qsort(q->bindings.items, q->bindings.n, sizeof *q->bindings.items, compare_places);
    w->q = q;
    s = make_header(w, source, err);
    if (!s) s = file_writer_open(&w->file, path, err);
    if (!s) s = file_writer_write(&w->file, w->header.data, w->header.n, err);
    if (s)
        gguf_writer_abort(w);
    else
        *out = w;
    return s;
}

static gpt2q_status put(struct gguf_writer *w, const void *data, size_t n, gpt2q_error *err)
{
    static const uint8_t zeros[ALIGNMENT];
    const size_t padded = round_up(n, ALIGNMENT);
    gpt2q_status s = file_writer_write(&w->file, data, n, err);
    if (!s && padded > n) s = file_writer_write(&w->file, zeros, padded - n, err);
    w->written += padded;
    return s;
}

static gpt2q_status put_exactly(struct gguf_writer *w, const struct quantized *q, size_t bytes,
                                gpt2q_error *err)
{
    uint8_t *blocks = mem_alloc(bytes);
    if (!blocks) return error_memory(err, q->name, bytes);
    gpt2q_status s = gguf_encode_exactly(&q->matrix, q->name, &w->q->run, blocks, err);
    if (!s) s = put(w, blocks, bytes, err);
    mem_free(blocks);
    return s;
}

gpt2q_status gguf_writer_put(struct gguf_writer *w, const struct quantized *q, gpt2q_error *err)
{
    const struct gguf_entry *e = &w->entries[w->n_put++];
    assert(e->id.part == q->id.part && e->id.layer == q->id.layer);
    if (!q->is_matrix) return put(w, q->values, q->n * sizeof *q->values, err);
    return q->blocks ? put(w, q->blocks, e->bytes, err) : put_exactly(w, q, e->bytes, err);
}

gpt2q_status gguf_writer_commit(struct gguf_writer *w, uint64_t *bytes, gpt2q_error *err)
{
    assert(w->n_put == w->n);
    *bytes = w->header.n + w->written;
    gpt2q_status s = file_writer_commit(&w->file, err);
    writer_free(w);
    return s;
}
