/* A Hugging Face directory to weights: every tensor of the files is bound to its place or passed over,
 * everything a GPT-2 of this config has must be there in its shape, and only then the numbers are touched:
 * one tensor at a time in the order of the files, whose pages are let go behind, so that the model is never
 * in memory twice. */
#include "base/memory.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/weights_build.h"
#include <inttypes.h>
#include <string.h>

#define MAX_CONFIG ((size_t)1 << 20)

/* A tensor to be held, in the order of the checkpoint. */
struct binding {
    struct weight_id id;
    const struct st_tensor *tensor;
    size_t file;
};

struct loader {
    const char *directory;
    gpt2q_config config;
    struct checkpoint checkpoint;
    struct binding *bindings; /* room for every slot */
    size_t n_bindings;
    const struct binding **bound; /* by slot */
    struct binding wte;
    bool tied;
};

/* ---- binding ---- */

static gpt2q_status check_type(const struct binding *b, const char *file, const gpt2q_config *config,
                               gpt2q_error *err)
{
    const struct st_tensor *t = b->tensor;
    uint64_t shape[2];
    int n_dims = weight_shape(config, b->id.part, shape);
    if (t->n_dims != n_dims || t->shape[0] != shape[0] || (n_dims == 2 && t->shape[1] != shape[1])) {
        char found[96] = "", *end = found;
        for (int i = 0; i < t->n_dims && i < 3; i++) {
            end += snprintf(end, 24, "%s%" PRIu64, i ? ", " : "", t->shape[i]);
        }
        bool turned = n_dims == 2 && t->n_dims == 2 && t->shape[0] == shape[1] && t->shape[1] == shape[0];
        char expected[48];
        snprintf(expected, sizeof expected, n_dims == 2 ? "%" PRIu64 ", %" PRIu64 : "%" PRIu64, shape[0],
                 shape[1]);
        return error_set(err, GPT2Q_FORMAT, "%s: %s has shape [%s%s], config.json makes it [%s]%s", file,
                         t->name, found, t->n_dims > 3 ? ", ..." : "", expected,
                         turned ? ": it seems to be transposed" : "");
    }
    if (t->dtype == ST_F32 || t->dtype == ST_F16 || t->dtype == ST_BF16) return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: %s is of dtype %s, supported are F32, F16 and BF16", file,
                     t->name, st_dtype_name(t->dtype));
}

static gpt2q_status bind(struct loader *l, size_t file, const struct st_tensor *t, gpt2q_error *err)
{
    const char *path = l->checkpoint.files[file].map.path;
    struct weight_id id;
    enum weight_name kind = weight_parse(weight_strip(t->name), &id);
    if (kind == NAME_OTHER) return GPT2Q_OK;
    if (kind == NAME_UNKNOWN)
        return error_set(err, GPT2Q_FORMAT, "%s: %s is no tensor of a GPT-2", path, t->name);
    if (id.layer >= l->config.n_layer) {
        return error_set(err, GPT2Q_FORMAT, "%s: %s is there, but config.json says that n_layer is %d", path,
                         t->name, (int)l->config.n_layer);
    }
    const struct binding **bound = &l->bound[weight_slot(&l->config, id)];
    if (*bound) {
        return error_set(err, GPT2Q_FORMAT, "%s: %s is there twice, also as %s in %s", path, t->name,
                         (*bound)->tensor->name, l->checkpoint.files[(*bound)->file].map.path);
    }
    struct binding *b = &l->bindings[l->n_bindings++];
    *b = (struct binding){id, t, file};
    *bound = b;
    return check_type(b, path, &l->config, err);
}

static const struct binding *bound_to(const struct loader *l, enum weight_part part)
{
    return l->bound[weight_slot(&l->config, (struct weight_id){part, 0})];
}

static gpt2q_status check_missing(const struct loader *l, gpt2q_error *err)
{
    size_t missing = 0;
    char name[WEIGHT_NAME_MAX], first[WEIGHT_NAME_MAX] = "", more[48] = "";
    for (size_t i = 0; i < weight_slots(&l->config); i++) {
        struct weight_id id = weight_at(&l->config, i);
        if (l->bound[i] || (id.part == PART_LM_HEAD && l->config.tie_word_embeddings)) continue;
        if (!missing++) memcpy(first, weight_print(id, name), sizeof first);
    }
    if (!missing) return GPT2Q_OK;
    if (missing > 1) snprintf(more, sizeof more, " (and %zu more)", missing - 1);
    return error_set(
        err, GPT2Q_FORMAT, "%s: %s is missing%s%s", l->directory, first, more,
        strcmp(first, "lm_head.weight") == 0 ? ", and config.json says that it is not tied to wte" : "");
}

/* A head that is wte once more is not held twice. */
static void drop_equal_head(struct loader *l)
{
    const struct binding *head = bound_to(l, PART_LM_HEAD), *wte = bound_to(l, PART_WTE);
    l->wte = *wte;
    l->tied = !head || (head->tensor->dtype == wte->tensor->dtype &&
                        memcmp(head->tensor->data, wte->tensor->data, wte->tensor->size) == 0);
    if (!head || !l->tied) return;
    size_t at = (size_t)(head - l->bindings);
    memmove(&l->bindings[at], &l->bindings[at + 1], (l->n_bindings - at - 1) * sizeof *l->bindings);
    l->n_bindings--;
}

static gpt2q_status bind_all(struct loader *l, gpt2q_error *err)
{
    size_t n = weight_slots(&l->config);
    l->bindings = mem_zarray(n, sizeof *l->bindings);
    l->bound = mem_zarray(n, sizeof *l->bound);
    if (!l->bindings || !l->bound) return error_memory(err, "a table of tensors", n * sizeof *l->bindings);
    for (size_t f = 0; f < l->checkpoint.n_files; f++) {
        const struct safetensors *st = &l->checkpoint.files[f];
        for (size_t i = 0; i < st->n_tensors; i++) {
            gpt2q_status s = bind(l, f, &st->tensors[i], err);
            if (s) return s;
        }
    }
    gpt2q_status s = check_missing(l, err);
    if (!s) drop_equal_head(l);
    return s;
}

/* ---- holding ---- */

static enum dtype dtype_of(const struct st_tensor *t)
{
    return t->dtype == ST_F32 ? DT_F32 : t->dtype == ST_F16 ? DT_F16 : DT_BF16;
}

static bool points_into(const struct qtensor *q, const struct st_tensor *t)
{
    return (uintptr_t)q->codes - (uintptr_t)t->data < t->size;
}

static gpt2q_status hold(struct weights_builder *b, const struct loader *l, size_t i, bool in_place,
                         gpt2q_error *err)
{
    const struct binding *binding = &l->bindings[i];
    char name[WEIGHT_NAME_MAX];
    struct qsource src = weights_source(&l->config, binding->id, weight_print(binding->id, name),
                                        dtype_of(binding->tensor), binding->tensor->data);
    return weights_hold(b, binding->id, i, &src, st_dtype_name(binding->tensor->dtype), in_place, err);
}

static gpt2q_status hold_matrices(struct weights_builder *b, const struct loader *l, bool *kept,
                                  gpt2q_error *err)
{
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *binding = &l->bindings[i];
        if (!weight_is_matrix(binding->id.part)) continue;
        if (i + 1 < l->n_bindings) {
            const struct st_tensor *next = l->bindings[i + 1].tensor;
            file_map_prefetch(next->data, next->size);
        }
        gpt2q_status s = hold(b, l, i, true, err);
        if (s) return s;
        if (points_into(weight_matrix(b->w, binding->id), binding->tensor))
            kept[binding->file] = true;
        else
            file_map_drop(binding->tensor->data, binding->tensor->size);
    }
    return GPT2Q_OK;
}

/* Vectors lie in the file only where a matrix keeps it mapped anyway. */
static gpt2q_status hold_floats(struct weights_builder *b, const struct loader *l, const bool *kept,
                                gpt2q_error *err)
{
    for (size_t i = 0; i < l->n_bindings; i++) {
        const struct binding *binding = &l->bindings[i];
        if (weight_is_matrix(binding->id.part)) continue;
        gpt2q_status s = hold(b, l, i, kept[binding->file], err);
        if (s) return s;
    }
    return GPT2Q_OK;
}

/* Hands the files that something points into over to the weights, in place; the others are closed with the
 * checkpoint. */
static void keep_files(struct gpt2_weights *w, struct checkpoint *c, const bool *kept)
{
    w->files = c->files;
    for (size_t i = 0; i < c->n_files; i++) {
        if (kept[i])
            w->files[w->n_files++] = c->files[i];
        else
            safetensors_close(&c->files[i]);
    }
    *c = (struct checkpoint){0};
}

static gpt2q_status hold_all(struct loader *l, const struct weights_params *params, struct gpt2_weights *out,
                             gpt2q_error *err)
{
    struct weights_builder b;
    gpt2q_status s = weights_begin(&b, out, &l->config, l->tied, params, err);
    if (s) return s;
    if (l->tied && weights_head_apart(&b)) { /* a second copy of wte */
        l->bindings[l->n_bindings++] = (struct binding){{PART_LM_HEAD, 0}, l->wte.tensor, l->wte.file};
    }
    out->n_tensors = l->n_bindings;
    bool *kept = mem_zarray(l->checkpoint.n_files, sizeof *kept);
    s = kept ? hold_matrices(&b, l, kept, err) : error_memory(err, "a table of files", l->checkpoint.n_files);
    if (!s) s = hold_floats(&b, l, kept, err);
    if (!s) keep_files(out, &l->checkpoint, kept);
    mem_free(kept);
    return weights_end(&b, s);
}

static gpt2q_status read_config(struct loader *l, gpt2q_error *err)
{
    char *path = path_join(l->directory, "config.json"), *text = NULL;
    if (!path) return error_memory(err, "a path", strlen(l->directory));
    size_t size;
    gpt2q_status s = file_read(path, MAX_CONFIG, &text, &size, err);
    if (!s) s = config_parse(text, size, path, &l->config, err);
    mem_free(text);
    mem_free(path);
    return s;
}

gpt2q_status weights_load(const char *directory, const struct weights_params *params,
                          struct gpt2_weights *out, gpt2q_error *err)
{
    *out = (struct gpt2_weights){0};
    struct loader l = {.directory = directory};
    gpt2q_status s = read_config(&l, err);
    if (!s) s = checkpoint_open(directory, &l.checkpoint, err);
    if (!s) s = bind_all(&l, err);
    if (!s) s = hold_all(&l, params, out, err);
    checkpoint_close(&l.checkpoint);
    mem_free(l.bindings);
    mem_free(l.bound);
    return s;
}
