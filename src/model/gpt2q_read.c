/* The header is not trusted. Every tensor that a model of this config has in its schemes must be there, in
 * its exact dtype and shape. No other tensor may be there. Parameters must make sense. Tensors are then
 * used where they lie: no work here grows with the number of codes. */
#include "model/gpt2q_read.h"
#include "base/crc32.h"
#include "base/memory.h"
#include "model/config.h"
#include "model/container.h"
#include "model/gguf_model.h"
#include "model/gpt2q_check.h"
#include "model/gpt2q_file.h"
#include "model/gpt2q_tokenizer.h"
#include "kernels/half.h"
#include "model/weights_schemes.h"
#include "qtensor/dequantize.h"
#include "qtensor/quantize.h"
#include "qtensor/zero_points.h"
#include <stdlib.h>
#include <string.h>

/* ---- metadata ---- */

bool safetensors_is_gpt2q(const struct safetensors *st)
{
    const char *format = safetensors_metadata(st, "format");
    return format && !strcmp(format, GPT2Q_FILE_FORMAT);
}

static gpt2q_status missing(const struct gpt2q_file *f, const char *what, gpt2q_error *err)
{
    return error_set(err, GPT2Q_FORMAT, "%s: %s is missing", f->st.map.path, what);
}

static gpt2q_status read_version(const struct gpt2q_file *f, gpt2q_error *err)
{
    const char *text = safetensors_metadata(&f->st, GPT2Q_KEY_VERSION);
    if (!text) return missing(f, GPT2Q_KEY_VERSION, err);
    char *end;
    long version = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || version < 1)
        return error_set(err, GPT2Q_FORMAT, "%s: " GPT2Q_KEY_VERSION " is \"%s\", expected 1 to %d",
                         f->st.map.path, text, GPT2Q_FILE_VERSION);
    if (version <= GPT2Q_FILE_VERSION) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED,
                     "%s: is of version %ld, this gpt2q reads versions up to %d: a newer gpt2q is needed",
                     f->st.map.path, version, GPT2Q_FILE_VERSION);
}

static gpt2q_status read_scheme(const struct gpt2q_file *f, const char *key, struct scheme *out,
                                gpt2q_error *err)
{
    gpt2q_error inner;
    const char *text = safetensors_metadata(&f->st, key);
    if (!text) return missing(f, key, err);
    if (!scheme_parse(text, out, &inner)) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: %s: %s", f->st.map.path, key, inner.message);
}

static gpt2q_status read_config(struct gpt2q_file *f, gpt2q_error *err)
{
    const char *text = safetensors_metadata(&f->st, GPT2Q_KEY_CONFIG);
    return text ? config_parse(text, strlen(text), f->st.map.path, &f->config, err)
                : missing(f, GPT2Q_KEY_CONFIG, err);
}

gpt2q_status gpt2q_file_from(struct safetensors *st, struct gpt2q_file *out, gpt2q_error *err)
{
    *out = (struct gpt2q_file){.st = *st};
    *st = (struct safetensors){0};
    gpt2q_status s = GPT2Q_OK;
    if (!safetensors_is_gpt2q(&out->st))
        s = error_set(err, GPT2Q_FORMAT,
                      "%s: is no .gpt2q file, its metadata say no format " GPT2Q_FILE_FORMAT
                      "; of other safetensors "
                      "name the directory with their config.json",
                      out->st.map.path);
    if (!s) s = read_version(out, err);
    if (!s) s = read_config(out, err);
    if (!s) s = read_scheme(out, GPT2Q_KEY_SCHEME, &out->scheme, err);
    out->source = s ? NULL : safetensors_metadata(&out->st, GPT2Q_KEY_SOURCE);
    if (!s && !out->source) s = missing(out, GPT2Q_KEY_SOURCE, err);
    if (s) gpt2q_file_close(out);
    return s;
}

gpt2q_status gpt2q_file_open(const char *path, struct gpt2q_file *out, gpt2q_error *err)
{
    struct safetensors st;
    *out = (struct gpt2q_file){0};
    gpt2q_status s = safetensors_open(path, &st, err);
    return s ? s : gpt2q_file_from(&st, out, err);
}

void gpt2q_file_close(struct gpt2q_file *f)
{
    safetensors_close(&f->st);
    *f = (struct gpt2q_file){0};
}

/* ---- tokenizer ---- */

static gpt2q_status open_gguf(const char *path, struct tokenizer **out, gpt2q_error *err)
{
    struct gguf_file f;
    gpt2q_status s = gguf_open(path, &f, err);
    if (s) return s;
    s = gguf_tokenizer_open(&f, out, err);
    if (!s && !*out) s = error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: holds no tokenizer", path);
    gguf_close(&f);
    return s;
}

gpt2q_status model_tokenizer_open(const char *path, struct gpt2q_file *file, struct tokenizer **out,
                                  gpt2q_error *err)
{
    *out = NULL;
    *file = (struct gpt2q_file){0};
    const struct container_reader *kind;
    if (file_is_directory(path)) return tokenizer_open(path, out, err);
    gpt2q_status s = container_kind(path, &kind, err);
    if (s) return s;
    if (kind == &gguf_reader) return open_gguf(path, out, err);
    s = gpt2q_file_open(path, file, err);
    if (s) return s;
    s = gpt2q_tokenizer_open(&file->st, out, err);
    if (!s && !*out) s = error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: holds no tokenizer", path);
    if (s) gpt2q_file_close(file);
    return s;
}

/* ---- weights ---- */

static gpt2q_status check_part(const struct gpt2q_file *f, const struct st_declaration *d,
                               const struct st_tensor *t, gpt2q_error *err)
{
    bool same = t->dtype == d->dtype && t->n_dims == d->n_dims;
    for (int i = 0; same && i < d->n_dims; i++) same = t->shape[i] == d->shape[i];
    if (!same)
        return error_set(err, GPT2Q_FORMAT, "%s: %s does not have the dtype and shape of its scheme",
                         f->st.map.path, t->name);
    if ((uintptr_t)t->data % GPT2Q_ALIGN == 0) return GPT2Q_OK; /* a map begins at a page */
    return error_set(err, GPT2Q_FORMAT, "%s: %s does not begin at a multiple of %d", f->st.map.path, t->name,
                     GPT2Q_ALIGN);
}

struct gpt2q_reader {
    struct gpt2q_file *f;
    struct gpt2_weights *w;
    size_t n_used; /* tensors of the file that were used */
};

/* Whether part i of a weight is zero points as older files hold them. */
static bool is_old_zero(const struct stored_weight *d, int i, const struct st_tensor *t)
{
    return i == PART_ZERO && scheme_zero_in_bits(d->scheme) && t->dtype == ST_F16;
}

/* Puts them into bits. */
static gpt2q_status read_old_zeros(struct gpt2q_reader *r, const struct st_tensor *t, struct qtensor *q,
                                   const char *name, gpt2q_error *err)
{
    const int bits = scheme_bits(q->scheme);
    const size_t n = qtensor_parameters(q);
    uint8_t *blocks = mem_zalloc(n / PANEL * ZERO_BLOCK(bits));
    if (!blocks) return error_memory(err, name, n / PANEL * ZERO_BLOCK(bits));
    r->w->owned[r->w->n_owned++] = blocks;
    q->zero = blocks;
    for (size_t i = 0; i < n; i++) {
        const float zero = float_from_f16(((const uint16_t *)(const void *)t->data)[i]);
        gpt2q_status s = qtensor_check_zero(q, zero, i, r->f->st.map.path, name, err);
        if (s) return s;
        zero_point_put(blocks + i / PANEL * ZERO_BLOCK(bits), (int)(i % PANEL), bits,
                       (int)zero + scheme_middle(q->scheme));
    }
    return GPT2Q_OK;
}

/* The tensors of a weight; NULL beyond the last. */
static gpt2q_status find_parts(struct gpt2q_reader *r, const struct stored_weight *d,
                               const struct st_tensor *t[PARTS_MAX], gpt2q_error *err)
{
    for (int i = 0; i < PARTS_MAX; i++) t[i] = NULL;
    for (int i = 0; i < d->n_parts; i++) {
        t[i] = safetensors_find(&r->f->st, d->parts[i].name);
        if (!t[i]) return missing(r->f, d->parts[i].name, err);
        const bool is_old = is_old_zero(d, i, t[i]);
        const struct st_declaration old = is_old ? stored_zero_of_old(d) : d->parts[i];
        gpt2q_status s = check_part(r->f, &old, t[i], err);
        if (s) return s;
        r->n_used++;
    }
    return GPT2Q_OK;
}

static gpt2q_status read_matrix(struct gpt2q_reader *r, const struct stored_weight *d,
                                const struct st_tensor *const t[PARTS_MAX], const char *name,
                                gpt2q_error *err)
{
    struct qtensor *q = weight_matrix(r->w, d->id);
    struct qtensor_layout layout;
    *q = (struct qtensor){.scheme = d->scheme, .codes = t[PART_CODES]->data};
    weight_rows_cols(&r->w->config, d->id.part, &q->rows, &q->cols);
    qtensor_layout(d->scheme, q->rows, q->cols, &layout);
    q->panel_bytes = layout.panel_bytes;
    q->bytes = qtensor_layout_bytes(&layout);
    q->scale = t[PART_SCALE] ? t[PART_SCALE]->data : NULL;
    if (scheme_has_factor(d->scheme))
        q->factor = (const float *)(const void *)t[PART_FACTOR]->data;
    else if (t[PART_ZERO])
        q->zero = t[PART_ZERO]->data;
    if (t[PART_ZERO] && is_old_zero(d, PART_ZERO, t[PART_ZERO])) {
        gpt2q_status s = read_old_zeros(r, t[PART_ZERO], q, name, err);
        if (s) return s;
    }
    return qtensor_check_scales(q, r->f->st.map.path, name, err);
}

/* Under `notes`, floats are decoded from their codes. */
static gpt2q_status read_coded_floats(struct gpt2q_reader *r, const struct stored_weight *d,
                                      const struct st_tensor *const t[PARTS_MAX], const char *name,
                                      gpt2q_error *err)
{
    float scale, min;
    size_t n = t[PART_CODES]->size;
    memcpy(&scale, t[PART_SCALE]->data, sizeof scale);
    memcpy(&min, t[PART_ZERO]->data, sizeof min);
    const struct qtensor one = {.scheme = d->scheme, .rows = 1, .cols = 0, .scale = &scale, .zero = &min};
    gpt2q_status s = qtensor_check_scales(&one, r->f->st.map.path, name, err);
    if (s) return s;
    for (size_t i = 0; scale == 0.0f && i < n; i++)
        if (t[PART_CODES]->data[i])
            return error_set(err, GPT2Q_FORMAT, "%s: code %zu of %s is %d, but its scale is 0",
                             r->f->st.map.path, i, name, t[PART_CODES]->data[i]);
    float *values = mem_array(n, sizeof *values);
    if (!values) return error_memory(err, name, n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = scale * (float)t[PART_CODES]->data[i] + min;
    r->w->owned[r->w->n_owned++] = values;
    *weight_floats(r->w, d->id) = values;
    return GPT2Q_OK;
}

static void report_weight(struct gpt2q_reader *r, const struct stored_weight *d,
                          const struct st_tensor *const t[PARTS_MAX], char *name)
{
    struct tensor_info *info = &r->w->tensors[r->w->n_tensors++];
    *info =
        (struct tensor_info){.name = name, .dtype = st_dtype_name(t[PART_CODES]->dtype), .scheme = d->scheme};
    info->n_dims = weight_shape(&r->w->config, d->id.part, info->shape);
    for (int i = 0; i < d->n_parts; i++) info->bytes += t[i]->size;
    r->w->bytes += info->bytes;
}

static gpt2q_status read_weight(struct gpt2q_reader *r, struct weight_id id, const char *key,
                                gpt2q_error *err)
{
    struct stored_weight d;
    struct scheme scheme;
    const struct st_tensor *t[PARTS_MAX];
    char text[SCHEME_TEXT_MAX], *name = mem_strdup(key + strlen(GPT2Q_KEY_OF_WEIGHT));
    if (!name) return error_memory(err, "a tensor's name", WEIGHT_NAME_MAX);
    gpt2q_status s = read_scheme(r->f, key, &scheme, err);
    if (!s && !stored_weight_describe(&r->w->config, id, scheme, &d))
        s = error_set(err, GPT2Q_FORMAT, "%s: %s is %s, which does not fit it", r->f->st.map.path, key,
                      scheme_print(scheme, text));
    if (!s) s = find_parts(r, &d, t, err);
    if (s) {
        mem_free(name);
        return s;
    }
    report_weight(r, &d, t, name);
    if (!scheme_equal(scheme, weight_scheme(id.part, r->w->scheme))) r->w->mixed = true;
    if (weight_is_matrix(id.part)) return read_matrix(r, &d, t, name, err);
    if (scheme.format != QF_F32) return read_coded_floats(r, &d, t, name, err);
    *weight_floats(r->w, id) = (const float *)t[PART_CODES]->data;
    return GPT2Q_OK;
}

static gpt2q_status read_all(struct gpt2q_reader *r, gpt2q_error *err)
{
    char name[WEIGHT_NAME_MAX], key[WEIGHT_NAME_MAX + sizeof GPT2Q_KEY_OF_WEIGHT];
    const gpt2q_config *c = &r->w->config;
    for (size_t i = 0; i < weight_slots(c); i++) {
        struct weight_id id = weight_at(c, i);
        snprintf(key, sizeof key, GPT2Q_KEY_OF_WEIGHT "%s", weight_print(id, name));
        bool shares =
            id.part == PART_LM_HEAD && c->tie_word_embeddings && !safetensors_metadata(&r->f->st, key);
        gpt2q_status s = shares ? GPT2Q_OK : read_weight(r, id, key, err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

/* Reads a tensor of floats that a file need not have (*out is then NULL). Each must be finite and above 0. */
static gpt2q_status read_positive(struct gpt2q_reader *r, const char *name, uint64_t n, const float **out,
                                  gpt2q_error *err)
{
    const struct st_declaration d = {.name = name, .dtype = ST_F32, .n_dims = 1, .shape = {n}};
    const struct st_tensor *t = safetensors_find(&r->f->st, name);
    *out = NULL;
    if (!t) return GPT2Q_OK;
    gpt2q_status s = check_part(r->f, &d, t, err);
    if (s) return s;
    const float *values = (const float *)t->data;
    for (uint64_t i = 0; i < n; i++)
        if (!(values[i] > 0.0f) || !(values[i] <= 3.4028234e38f))
            return error_set(err, GPT2Q_FORMAT, "%s: %s: number %llu is %g, expected a finite one above 0",
                             r->f->st.map.path, name, (unsigned long long)i, (double)values[i]);
    r->n_used++;
    *out = values;
    return GPT2Q_OK;
}

/* Reads what methods wrote about the inputs of linear layers. */
static gpt2q_status read_inputs(struct gpt2q_reader *r, gpt2q_error *err)
{
    const int layers = r->w->config.n_layer;
    const float *scales;
    char name[WEIGHT_NAME_MAX];
    gpt2q_status s = read_positive(r, GPT2Q_STATIC, 4 * (uint64_t)layers + 1, &scales, err);
    for (int l = 0; l < layers && !s; l++) {
        struct gpt2_block *b = &r->w->h[l];
        struct linear_weight *all[] = {&b->c_attn, &b->attn_c_proj, &b->c_fc, &b->mlp_c_proj};
        for (int i = 0; i < 4 && scales; i++) all[i]->input_scale = scales[4 * l + i];
        snprintf(name, sizeof name, GPT2Q_FACTORS, l);
        s = read_positive(r, name, (uint64_t)r->w->config.n_inner, &b->mlp_c_proj.factors, err);
    }
    if (!s && scales) r->w->lm_head_input_scale = scales[4 * layers];
    return s;
}

/* Refuses a tensor that nothing reads: it would give the file a second meaning. */
static gpt2q_status check_rest(const struct gpt2q_reader *r, gpt2q_error *err)
{
    const struct safetensors *st = &r->f->st;
    size_t n = r->n_used;
    for (size_t i = 0; i < st->n_tensors; i++) {
        const char *name = st->tensors[i].name;
        n += !strcmp(name, GPT2Q_CHECKSUM) || !strncmp(name, GPT2Q_PADDING, strlen(GPT2Q_PADDING)) ||
             is_tokenizer_tensor(name);
    }
    if (n == st->n_tensors) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: holds %zu tensors that are no part of its model", st->map.path,
                     st->n_tensors - n);
}

static gpt2q_status prepare(struct gpt2q_reader *r, gpt2q_error *err)
{
    size_t n = weight_slots(&r->f->config);
    struct gpt2_weights *w = r->w;
    *w = (struct gpt2_weights){
        .config = r->f->config, .scheme = r->f->scheme, .parameters = config_parameters(&r->f->config)};
    if (n > r->f->st.n_tensors + 1) /* memory follows what is there, not what the config says */
        return error_set(err, GPT2Q_FORMAT, "%s: holds %zu tensors, fewer than the %zu weights of its config",
                         r->f->st.map.path, r->f->st.n_tensors, n);
    w->h = mem_zarray((size_t)w->config.n_layer, sizeof *w->h);
    w->tensors = mem_zarray(n, sizeof *w->tensors);
    w->owned = mem_zarray(n, sizeof *w->owned);
    w->files = mem_zarray(1, sizeof *w->files);
    return w->h && w->tensors && w->owned && w->files
               ? GPT2Q_OK
               : error_memory(err, "a table of tensors", n * sizeof *w->tensors);
}

gpt2q_status gpt2q_file_weights(struct gpt2q_file *f, struct gpt2_weights *out, gpt2q_error *err)
{
    struct gpt2q_reader r = {.f = f, .w = out};
    gpt2q_status s = prepare(&r, err);
    if (!s) s = read_all(&r, err);
    if (!s) s = read_inputs(&r, err);
    if (!s) s = check_rest(&r, err);
    if (s) {
        weights_free(out);
        return s;
    }
    if (!out->lm_head.codes) {
        out->lm_head = out->wte;
        out->lm_head_is_wte = true;
    }
    out->files[out->n_files++] = f->st;
    f->st = (struct safetensors){0};
    return GPT2Q_OK;
}

/* ---- checksum ---- */

gpt2q_status gpt2q_checksum_check(const struct safetensors *st, gpt2q_error *err)
{
    const struct file_map *map = &st->map;
    const struct st_tensor *t = safetensors_find(st, GPT2Q_CHECKSUM);
    if (!t) return error_set(err, GPT2Q_FORMAT, "%s: " GPT2Q_CHECKSUM " is missing", map->path);
    if (t->dtype != ST_U32 || t->size != sizeof(uint32_t) || t->data + t->size != map->data + map->size)
        return error_set(err, GPT2Q_FORMAT, "%s: " GPT2Q_CHECKSUM " is not one U32 at the end of the file",
                         map->path);
    struct crc32 crc;
    crc32_begin(&crc);
    crc32_add(&crc, map->data, map->size - t->size);
    uint32_t found = (uint32_t)t->data[0] | (uint32_t)t->data[1] << 8 | (uint32_t)t->data[2] << 16 |
                     (uint32_t)t->data[3] << 24;
    if (found == crc32_value(&crc)) return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: is damaged: its checksum is %08x, that of its bytes %08x",
                     map->path, (unsigned)found, (unsigned)crc32_value(&crc));
}
