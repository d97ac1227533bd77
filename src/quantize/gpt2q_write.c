/* The header comes first, so every size is computed before the first tensor is quantized. An assertion
 * checks that what follows fits. All bytes pass through one function, which counts them and adds them to
 * the checksum. */
#include "quantize/gpt2q_write.h"
#include "base/crc32.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "model/config.h"
#include "model/gpt2q_file.h"
#include "model/gpt2q_tokenizer.h"
#include "tokenizer/directory.h"
#include <assert.h>
#include <string.h>

/* The texts that a file may hold, in their order. */
enum { TEXT_VOCAB, TEXT_MERGES, TEXT_TOKENIZER, TEXT_EXTRAS, N_TEXTS };
static const char *const text_tensors[N_TEXTS] = {GPT2Q_VOCAB, GPT2Q_MERGES, GPT2Q_TOKENIZER, GPT2Q_EXTRAS};

struct gpt2q_writer {
    struct file_writer file;
    const struct quantizer *q; /* the caller's */
    char (*factor_names)[WEIGHT_NAME_MAX];
    struct crc32 crc;
    uint64_t written;
    struct stored_weight *weights; /* in the order they come */
    size_t n_weights, n_put;
    struct directory_texts source;
    struct tokenizer_text texts[N_TEXTS]; /* point into source; text NULL: it is not there */
    struct tokenizer *tokenizer;          /* its tables are written; NULL: none */
    struct st_declaration *declarations;
    char (*paddings)[24]; /* their names */
    size_t n_declarations, n_paddings;
    struct st_metadata *metadata;
    size_t n_metadata;
};

/* ---- bytes ---- */

static gpt2q_status put(struct gpt2q_writer *w, const void *data, size_t n, gpt2q_error *err)
{
    crc32_add(&w->crc, data, n);
    w->written += n;
    return file_writer_write(&w->file, data, n, err);
}

/* Writes a tensor's data and the padding declared after it. */
static gpt2q_status put_padded(struct gpt2q_writer *w, const void *data, size_t n, gpt2q_error *err)
{
    static const uint8_t zeros[GPT2Q_ALIGN];
    gpt2q_status s = put(w, data, n, err);
    size_t rest = n % GPT2Q_ALIGN;
    return s || !rest ? s : put(w, zeros, GPT2Q_ALIGN - rest, err);
}

/* ---- declarations ---- */

/* Declares a tensor, and a padding tensor if its size asks for one. There is room. */
static void declare(struct gpt2q_writer *w, struct st_declaration d)
{
    size_t size = st_declaration_size(&d), rest = size % GPT2Q_ALIGN;
    w->declarations[w->n_declarations++] = d;
    if (!rest) return;
    char *name = w->paddings[w->n_paddings];
    snprintf(name, sizeof w->paddings[0], GPT2Q_PADDING "%zu", w->n_paddings);
    w->n_paddings++;
    w->declarations[w->n_declarations++] =
        (struct st_declaration){.name = name, .dtype = ST_U8, .n_dims = 1, .shape = {GPT2Q_ALIGN - rest}};
}

static void declare_tables(struct gpt2q_writer *w)
{
    struct tokenizer_table tables[TOKENIZER_TABLES];
    if (!w->tokenizer) return;
    tokenizer_tables(w->tokenizer, tables);
    for (int i = 0; i < TOKENIZER_TABLES; i++) declare(w, tokenizer_table_declare(i, tables[i].n));
}

/* Declares what methods add: scales of inputs, and factors of a layer's inputs. */
static void declare_inputs(struct gpt2q_writer *w)
{
    const gpt2q_config *c = &w->q->bindings.config;
    if (w->q->static_scales)
        declare(w, (struct st_declaration){.name = GPT2Q_STATIC,
                                           .dtype = ST_F32,
                                           .n_dims = 1,
                                           .shape = {4 * (uint64_t)c->n_layer + 1}});
    for (int l = 0; w->q->factors && l < c->n_layer; l++) {
        snprintf(w->factor_names[l], sizeof *w->factor_names, GPT2Q_FACTORS, l);
        declare(w, (struct st_declaration){.name = w->factor_names[l],
                                           .dtype = ST_F32,
                                           .n_dims = 1,
                                           .shape = {(uint64_t)c->n_inner}});
    }
}

static gpt2q_status put_inputs(struct gpt2q_writer *w, gpt2q_error *err)
{
    const gpt2q_config *c = &w->q->bindings.config;
    const size_t inner = (size_t)c->n_inner;
    gpt2q_status s = GPT2Q_OK;
    if (w->q->static_scales)
        s = put_padded(w, w->q->static_scales, (4 * (size_t)c->n_layer + 1) * sizeof(float), err);
    for (int l = 0; w->q->factors && l < c->n_layer && !s; l++)
        s = put_padded(w, w->q->factors + (size_t)l * inner, inner * sizeof(float), err);
    return s;
}

static void declare_all(struct gpt2q_writer *w)
{
    for (size_t i = 0; i < N_TEXTS; i++)
        if (w->texts[i].text)
            declare(w,
                    (struct st_declaration){
                        .name = text_tensors[i], .dtype = ST_U8, .n_dims = 1, .shape = {w->texts[i].size}});
    declare_tables(w);
    for (size_t i = 0; i < w->n_weights; i++)
        for (int j = 0; j < w->weights[i].n_parts; j++) declare(w, w->weights[i].parts[j]);
    declare_inputs(w);
    w->declarations[w->n_declarations++] =
        (struct st_declaration){.name = GPT2Q_CHECKSUM, .dtype = ST_U32, .n_dims = 1, .shape = {1}};
}

static gpt2q_status read_texts(struct gpt2q_writer *w, const struct quantizer *q, gpt2q_error *err)
{
    gpt2q_status s = bindings_texts(&q->bindings, &w->source, err);
    const struct tokenizer_texts *t = &w->source.texts;
    if (s || !t->vocab.text) return s;
    w->texts[t->merges.text ? TEXT_VOCAB : TEXT_TOKENIZER] = t->vocab;
    w->texts[TEXT_MERGES] = t->merges;
    w->texts[TEXT_EXTRAS] = t->extras;
    return GPT2Q_OK;
}

/* Refuses a vocabulary that could not be read back from the file. */
static gpt2q_status make_tables(struct gpt2q_writer *w, gpt2q_error *err)
{
    if (!w->source.texts.vocab.text) return GPT2Q_OK;
    gpt2q_status s = tokenizer_from_texts(&w->source.texts, &w->tokenizer, err);
    if (s) return s;
    if (tokenizer_size(w->tokenizer) >= GPT2Q_TABLES_MIN && tokenizer_tables_fit(w->tokenizer))
        return tokenizer_find_words(w->tokenizer, err);
    tokenizer_free(w->tokenizer);
    w->tokenizer = NULL;
    return GPT2Q_OK;
}

static gpt2q_status describe_weights(struct gpt2q_writer *w, const struct quantizer *q, gpt2q_error *err)
{
    char name[WEIGHT_NAME_MAX], text[SCHEME_TEXT_MAX];
    w->weights = mem_array(q->bindings.n, sizeof *w->weights);
    if (!w->weights) return error_memory(err, "a table of tensors", q->bindings.n * sizeof *w->weights);
    for (; w->n_weights < q->bindings.n; w->n_weights++) {
        struct weight_id id = q->bindings.items[w->n_weights].id;
        struct scheme scheme = quantizer_scheme(q, w->n_weights);
        if (stored_weight_describe(&q->bindings.config, id, scheme, &w->weights[w->n_weights])) continue;
        int rows, cols;
        weight_rows_cols(&q->bindings.config, id.part, &rows, &cols);
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT, "%s: %s does not fit its %d outputs by %d inputs%s",
            weight_print(id, name), scheme_print(scheme, text), rows, cols,
            scheme_has_codes(scheme) && scheme.gran == QG_GROUP ? "; the group must divide the inputs" : "");
    }
    return GPT2Q_OK;
}

/* ---- metadata ---- */

/* Names of files and directories may be any bytes. A header is UTF-8, so broken ones become U+FFFD. */
static bool add_metadata(struct gpt2q_writer *w, const char *key, const char *name, const char *value)
{
    struct st_metadata *m = &w->metadata[w->n_metadata++];
    size_t n = strlen(key) + strlen(name) + 1, length;
    *m = (struct st_metadata){.key = mem_alloc(n), .value = utf8_sanitize(value, strlen(value), &length)};
    if (m->key) snprintf(m->key, n, "%s%s", key, name);
    return m->key && m->value;
}

/* The version: 2 if an older gpt2q would misread the file and must refuse it. */
static int file_version(const struct gpt2q_writer *w, const struct quantizer *q)
{
    bool more = q->bindings.config.n_more_eos > 0 || w->texts[TEXT_EXTRAS].text;
    for (size_t i = 0; i < w->n_weights; i++) more = more || stored_weight_is_newer(w->weights[i].scheme);
    return more || q->static_scales || q->factors ? 2 : 1;
}

static gpt2q_status describe_model(struct gpt2q_writer *w, const struct quantizer *q, const char *source,
                                   gpt2q_error *err)
{
    char version[16], spec[SCHEME_TEXT_MAX], name[WEIGHT_NAME_MAX];
    gpt2q_config config = q->bindings.config;
    config.tie_word_embeddings = q->bindings.tied; /* as the files have it */
    snprintf(version, sizeof version, "%d", file_version(w, q));
    char *text = config_print(&config);
    w->metadata = mem_zarray(w->n_weights + 7, sizeof *w->metadata);
    bool ok = text && w->metadata && add_metadata(w, "format", "", GPT2Q_FILE_FORMAT) &&
              add_metadata(w, GPT2Q_KEY_VERSION, "", version) &&
              add_metadata(w, GPT2Q_KEY_CONFIG, "", text) &&
              add_metadata(w, GPT2Q_KEY_SCHEME, "", scheme_print(q->base, spec)) &&
              add_metadata(w, GPT2Q_KEY_SOURCE, "", source) &&
              (!q->method || add_metadata(w, GPT2Q_KEY_METHOD, "", q->method)) &&
              (!q->calibration || add_metadata(w, GPT2Q_KEY_CALIBRATION, "", q->calibration));
    for (size_t i = 0; ok && i < w->n_weights; i++)
        ok = add_metadata(w, GPT2Q_KEY_OF_WEIGHT, weight_print(w->weights[i].id, name),
                          scheme_print(w->weights[i].scheme, spec));
    mem_free(text);
    return ok ? GPT2Q_OK : error_memory(err, "metadata", w->n_weights * 64);
}

/* ---- the writer ---- */

static void writer_free(struct gpt2q_writer *w)
{
    for (size_t i = 0; i < w->n_metadata; i++) {
        mem_free(w->metadata[i].key);
        mem_free(w->metadata[i].value);
    }
    directory_free(&w->source);
    tokenizer_free(w->tokenizer);
    mem_free(w->metadata);
    mem_free(w->declarations);
    mem_free(w->paddings);
    mem_free(w->factor_names);
    mem_free(w->weights);
    mem_free(w);
}

void gpt2q_writer_abort(struct gpt2q_writer *w)
{
    if (!w) return;
    if (w->file.path) file_writer_abort(&w->file);
    writer_free(w);
}

static gpt2q_status prepare(struct gpt2q_writer *w, const struct quantizer *q, const char *source,
                            gpt2q_error *err)
{
    gpt2q_status s = describe_weights(w, q, err);
    if (!s) s = read_texts(w, q, err);
    if (!s) s = make_tables(w, err);
    if (!s) s = describe_model(w, q, source, err);
    if (s) return s;
    const size_t layers = (size_t)q->bindings.config.n_layer;
    size_t n = w->n_weights * PARTS_MAX + N_TEXTS + TOKENIZER_TABLES + 1 + layers;
    w->factor_names = mem_array(layers, sizeof *w->factor_names);
    w->declarations = mem_array(2 * n + 1, sizeof *w->declarations);
    w->paddings = mem_array(n, sizeof *w->paddings);
    if (!w->declarations || !w->paddings || !w->factor_names)
        return error_memory(err, "a table of tensors", 2 * n * sizeof *w->declarations);
    declare_all(w);
    return GPT2Q_OK;
}

static gpt2q_status write_tables(struct gpt2q_writer *w, gpt2q_error *err)
{
    struct tokenizer_table tables[TOKENIZER_TABLES];
    gpt2q_status s = GPT2Q_OK;
    if (!w->tokenizer) return s;
    tokenizer_tables(w->tokenizer, tables);
    for (int i = 0; i < TOKENIZER_TABLES && !s; i++) {
        struct st_declaration d = tokenizer_table_declare(i, tables[i].n);
        s = put_padded(w, tables[i].data, st_declaration_size(&d), err);
    }
    return s;
}

static gpt2q_status write_beginning(struct gpt2q_writer *w, gpt2q_error *err)
{
    char *header;
    size_t n;
    gpt2q_status s = st_header_create(w->declarations, w->n_declarations, w->metadata, w->n_metadata,
                                      w->file.path, &header, &n, err);
    if (s) return s;
    s = put(w, header, n, err);
    mem_free(header);
    for (size_t i = 0; i < N_TEXTS && !s; i++)
        if (w->texts[i].text) s = put_padded(w, w->texts[i].text, w->texts[i].size, err);
    return s ? s : write_tables(w, err);
}

gpt2q_status gpt2q_writer_open(const char *path, const struct quantizer *q, const char *source,
                               struct gpt2q_writer **out, gpt2q_error *err)
{
    *out = NULL;
    struct gpt2q_writer *w = mem_zalloc(sizeof *w);
    if (!w) return error_memory(err, "a writer", sizeof *w);
    crc32_begin(&w->crc);
    w->q = q;
    gpt2q_status s = prepare(w, q, source, err);
    if (!s) s = file_writer_open(&w->file, path, err);
    if (!s) s = write_beginning(w, err);
    if (s)
        gpt2q_writer_abort(w);
    else
        *out = w;
    return s;
}

gpt2q_status gpt2q_writer_put(struct gpt2q_writer *w, const struct quantized *q, gpt2q_error *err)
{
    const struct stored_weight *d = &w->weights[w->n_put++];
    const void *data[PARTS_MAX];
    if (q->is_matrix)
        data[PART_CODES] = q->matrix.codes, data[PART_SCALE] = q->matrix.scale,
        data[PART_ZERO] = q->matrix.factor ? q->matrix.factor : q->matrix.zero;
    else
        data[PART_CODES] = q->codes ? q->codes : (const void *)q->values, data[PART_SCALE] = &q->scale,
        data[PART_ZERO] = &q->min;
    assert(d->id.part == q->id.part && d->id.layer == q->id.layer && scheme_equal(d->scheme, q->scheme));
    gpt2q_status s = GPT2Q_OK;
    for (int i = 0; i < d->n_parts && !s; i++)
        s = put_padded(w, data[i], st_declaration_size(&d->parts[i]), err);
    return s;
}

gpt2q_status gpt2q_writer_commit(struct gpt2q_writer *w, uint64_t *bytes, gpt2q_error *err)
{
    assert(w->n_put == w->n_weights);
    gpt2q_status s = put_inputs(w, err);
    uint32_t crc = crc32_value(&w->crc);
    const uint8_t little[] = {(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)};
    if (!s) s = file_writer_write(&w->file, little, sizeof little, err);
    *bytes = w->written + sizeof little;
    if (s) {
        gpt2q_writer_abort(w);
        return s;
    }
    s = file_writer_commit(&w->file, err);
    writer_free(w);
    return s;
}
