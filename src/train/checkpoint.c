#include "train/checkpoint.h"
#include "base/crc32.h"
#include "base/memory.h"
#include <string.h>

#define FORMAT     "gpt2q-train"
#define KEY_FORMAT "format"
#define KEY_STEP   "step"

gpt2q_status history_create(struct history *h, int steps, gpt2q_error *err)
{
    *h = (struct history){.steps = steps};
    h->losses = mem_zarray((size_t)steps + 1, sizeof *h->losses);
    h->evaluations = mem_zarray((size_t)steps + 2, sizeof *h->evaluations);
    if (h->losses && h->evaluations) return GPT2Q_OK;
    history_free(h);
    return error_memory(err, "the losses of a run", (size_t)steps * sizeof(struct train_evaluation));
}

void history_free(struct history *h)
{
    mem_free(h->losses);
    mem_free(h->evaluations);
    *h = (struct history){0};
}

/* ---- parts: the same list for writing and reading ---- */

enum { PARTS = 11 };
struct checkpoint_part {
    const char *name;
    void *data;
    size_t bytes;
    enum st_dtype dtype;
};

static void parts_of(const struct trainer *t, const struct history *h, double powers[4],
                     struct checkpoint_part out[PARTS])
{
    const size_t n = t->params->floats * sizeof(float), scales = t->grids->n_scales * sizeof(float);
    const struct checkpoint_part all[PARTS] = {
        {"latent", t->latent, n, ST_F32},
        {"adam.m", t->adam.m, n, ST_F32},
        {"adam.v", t->adam.v, n, ST_F32},
        {"scale", t->grids->scale, scales, ST_F32},
        {"scale.zero", t->grids->zero, scales, ST_F32},
        {"scale.adam.m", t->scale_adam.m, scales, ST_F32},
        {"scale.adam.v", t->scale_adam.v, scales, ST_F32},
        {"adam.powers", powers, 4 * sizeof *powers, ST_F64},
        {"losses", h->losses, (size_t)h->n_losses * sizeof *h->losses, ST_F64},
        {"evaluations", h->evaluations, (size_t)h->n_evaluations * sizeof *h->evaluations, ST_F64},
        {"checksum", NULL, sizeof(uint32_t), ST_U32},
    };
    memcpy(out, all, sizeof all);
}

/* ---- writing ---- */

static gpt2q_status write_parts(struct file_writer *w, const struct checkpoint_part *parts,
                                struct st_metadata *metadata, size_t n_metadata, gpt2q_error *err)
{
    struct st_declaration d[PARTS];
    struct crc32 crc;
    for (int i = 0; i < PARTS; i++)
        d[i] = (struct st_declaration){.name = parts[i].name,
                                       .dtype = parts[i].dtype,
                                       .n_dims = 1,
                                       .shape = {parts[i].bytes * 8 / (size_t)st_dtype_bits(parts[i].dtype)}};
    gpt2q_status s = st_write_header(w, d, PARTS, metadata, n_metadata, err);
    crc32_begin(&crc);
    for (int i = 0; i < PARTS - 1 && !s; i++) {
        if (!parts[i].bytes) continue;
        crc32_add(&crc, parts[i].data, parts[i].bytes);
        s = file_writer_write(w, parts[i].data, parts[i].bytes, err);
    }
    const uint32_t sum = crc32_value(&crc);
    return s ? s : file_writer_write(w, &sum, sizeof sum, err);
}

gpt2q_status checkpoint_write(const char *path, const struct trainer *t, const struct history *h,
                              const struct run_option *options, size_t n, gpt2q_error *err)
{
    double powers[4] = {t->adam.power1, t->adam.power2, t->scale_adam.power1, t->scale_adam.power2};
    struct checkpoint_part parts[PARTS];
    struct file_writer w;
    char step[16];
    struct st_metadata *metadata = mem_array(n + 2, sizeof *metadata);
    if (!metadata) return error_memory(err, "a checkpoint", n * sizeof *metadata);
    parts_of(t, h, powers, parts);
    snprintf(step, sizeof step, "%d", t->step);
    metadata[0] = (struct st_metadata){.key = (char[]){KEY_FORMAT}, .value = (char[]){FORMAT}};
    metadata[1] = (struct st_metadata){.key = (char[]){KEY_STEP}, .value = step};
    for (size_t i = 0; i < n; i++)
        metadata[i + 2] =
            (struct st_metadata){.key = (char *)options[i].key, .value = (char *)options[i].value};
    gpt2q_status s = file_writer_open(&w, path, err);
    if (!s) {
        s = write_parts(&w, parts, metadata, n + 2, err);
        if (s)
            file_writer_abort(&w);
        else
            s = file_writer_commit(&w, err);
    }
    mem_free(metadata);
    return s;
}

/* ---- reading ---- */

static bool is_of_run(const char *key, const struct run_option *options, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(key, options[i].key)) return true;
    return !strcmp(key, KEY_FORMAT) || !strcmp(key, KEY_STEP);
}

static gpt2q_status check_options(const char *path, const struct safetensors *st,
                                  const struct run_option *options, size_t n, gpt2q_error *err)
{
    const char *format = safetensors_metadata(st, KEY_FORMAT);
    if (!format || strcmp(format, FORMAT))
        return error_set(err, GPT2Q_FORMAT, "%s: is no checkpoint of a training run", path);
    for (size_t i = 0; i < n; i++) {
        const char *value = safetensors_metadata(st, options[i].key);
        if (value && !strcmp(value, options[i].value)) continue;
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: belongs to a run with %s %s, not %s; a run goes on only as it began", path,
                         options[i].key, value ? value : "unset", options[i].value);
    }
    for (size_t i = 0; i < st->n_metadata; i++) {
        const struct st_metadata *m = &st->metadata[i];
        if (is_of_run(m->key, options, n)) continue;
        return error_set(
            err, GPT2Q_INVALID_ARGUMENT,
            "%s: belongs to a run with %s %s, which is missing here; a run goes on only as it began", path,
            m->key, m->value);
    }
    return GPT2Q_OK;
}

static gpt2q_status read_step(const char *path, const struct safetensors *st, int steps, int *step,
                              gpt2q_error *err)
{
    const char *text = safetensors_metadata(st, KEY_STEP);
    long n = 0;
    for (const char *c = text ? text : "x"; *c; c++) {
        if (*c < '0' || *c > '9' || n > steps)
            return error_set(err, GPT2Q_FORMAT, "%s: step is '%s' where 0 to %d is expected", path,
                             text ? text : "missing", steps);
        n = n * 10 + (*c - '0');
    }
    if (n > steps)
        return error_set(err, GPT2Q_FORMAT, "%s: step is %ld where 0 to %d is expected", path, n, steps);
    *step = (int)n;
    return GPT2Q_OK;
}

/* The file says how many losses and evaluations there are; it may not say more than there is room for. */
static gpt2q_status read_sizes(const char *path, const struct safetensors *st, int step, struct history *h,
                               gpt2q_error *err)
{
    const struct st_tensor *e = safetensors_find(st, "evaluations");
    if (!e || e->size % sizeof *h->evaluations || e->size / sizeof *h->evaluations > (size_t)h->steps + 1)
        return error_set(err, GPT2Q_FORMAT, "%s: evaluations has a size that no checkpoint of this run has",
                         path);
    h->n_losses = step;
    h->n_evaluations = (int)(e->size / sizeof *h->evaluations);
    return GPT2Q_OK;
}

static gpt2q_status find_parts(const char *path, const struct safetensors *st,
                               const struct checkpoint_part *parts, const struct st_tensor *found[PARTS],
                               gpt2q_error *err)
{
    struct crc32 crc;
    uint32_t sum;
    crc32_begin(&crc);
    for (int i = 0; i < PARTS; i++) {
        found[i] = safetensors_find(st, parts[i].name);
        if (!found[i] || found[i]->size != parts[i].bytes)
            return error_set(err, GPT2Q_FORMAT, "%s: %s has %zu bytes where %zu are expected", path,
                             parts[i].name, found[i] ? found[i]->size : 0, parts[i].bytes);
        if (i < PARTS - 1 && found[i]->size) crc32_add(&crc, found[i]->data, found[i]->size);
    }
    memcpy(&sum, found[PARTS - 1]->data, sizeof sum);
    if (sum != crc32_value(&crc))
        return error_set(err, GPT2Q_FORMAT, "%s: its checksum is not that of its data: the file is damaged",
                         path);
    return GPT2Q_OK;
}

gpt2q_status checkpoint_read(const char *path, struct trainer *t, struct history *h,
                             const struct run_option *options, size_t n, gpt2q_error *err)
{
    struct safetensors st;
    struct checkpoint_part parts[PARTS];
    const struct st_tensor *found[PARTS];
    double powers[4];
    int step = 0;
    gpt2q_status s = safetensors_open(path, &st, err);
    if (s) return s;
    s = check_options(path, &st, options, n, err);
    if (!s) s = read_step(path, &st, t->options.steps, &step, err);
    if (!s) s = read_sizes(path, &st, step, h, err);
    parts_of(t, h, powers, parts);
    if (!s) s = find_parts(path, &st, parts, found, err);
    for (int i = 0; i < PARTS - 1 && !s; i++)
        if (parts[i].bytes) memcpy(parts[i].data, found[i]->data, parts[i].bytes);
    safetensors_close(&st);
    if (s) {
        h->n_losses = h->n_evaluations = 0;
        return s;
    }
    t->step = step;
    t->adam.power1 = powers[0], t->adam.power2 = powers[1];
    t->scale_adam.power1 = powers[2], t->scale_adam.power2 = powers[3];
    return GPT2Q_OK;
}
