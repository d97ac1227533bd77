/* Binds every tensor of the files to its place, or passes over it. Every tensor that a GPT-2 of this
 * config has must be there in its shape. The numbers are not touched, except to see whether a head equals
 * wte. */
#include "model/bindings.h"
#include "base/memory.h"
#include "base/terminal_text.h"
#include "model/config.h"
#include "model/container_gpt2q.h"
#include "model/gguf_model.h"
#include "model/gpt2q_read.h"
#include "model/gpt2q_tokenizer.h"
#include "model/weights_build.h"
#include <inttypes.h>
#include <string.h>

/* The name of what states the model's sizes. */
static const char *config_name(const struct bindings *l)
{
    return l->container.n_files && container_gguf(&l->container.files[0]) ? "its metadata" : "config.json";
}

static gpt2q_status check_type(const struct binding *b, const struct bindings *l, gpt2q_error *err)
{
    const struct container_tensor *t = b->tensor;
    uint64_t shape[2];
    int n_dims = weight_shape(&l->config, b->id.part, shape);
    if (t->n_dims != n_dims || t->shape[0] != shape[0] || (n_dims == 2 && t->shape[1] != shape[1])) {
        char found[96] = "", *end = found;
        for (int i = 0; i < t->n_dims && i < 3; i++) {
            end += snprintf(end, 24, "%s%" PRIu64, i ? ", " : "", t->shape[i]);
        }
        bool turned = n_dims == 2 && t->n_dims == 2 && t->shape[0] == shape[1] && t->shape[1] == shape[0];
        char expected[48];
        snprintf(expected, sizeof expected, n_dims == 2 ? "%" PRIu64 ", %" PRIu64 : "%" PRIu64, shape[0],
                 shape[1]);
        return error_set(err, GPT2Q_FORMAT, "%s: %s has shape [%s%s], %s makes it [%s]%s", b->file, t->name,
                         found, t->n_dims > 3 ? ", ..." : "", config_name(l), expected,
                         turned ? ": it seems to be transposed" : "");
    }
    if (t->dtype == ST_F32 || t->dtype == ST_F64 || t->dtype == ST_F16 || t->dtype == ST_BF16)
        return GPT2Q_OK;
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: %s is of dtype %s, supported are F64, F32, F16 and BF16",
                     b->file, t->name, st_dtype_name(t->dtype));
}

/* Heads of GPT2DoubleHeadsModel, GPT2ForSequenceClassification and their like are named, and not loaded. */
void bindings_leave_out(struct left_out *left, const char *name)
{
    char text[4 * WEIGHT_NAME_MAX];
    const size_t n = strlen(left->names), room = sizeof left->names - n;
    terminal_text(text, sizeof text, name, strlen(name));
    if (!left->more && strlen(text) + sizeof ", " <= room)
        snprintf(left->names + n, room, "%s%s", n ? ", " : "", text);
    else
        left->more++;
    left->n++;
}

static gpt2q_status bind(struct bindings *l, const char *path, const struct container_tensor *t,
                         gpt2q_error *err)
{
    struct weight_id id;
    enum weight_name kind = weight_parse(weight_strip(t->name), &id);
    if (kind == NAME_MASK) return GPT2Q_OK;
    if (kind == NAME_OTHER) return bindings_leave_out(&l->left_out, t->name), GPT2Q_OK;
    if (kind == NAME_UNKNOWN)
        return error_set(err, GPT2Q_FORMAT, "%s: %s is no tensor of a GPT-2", path, t->name);
    if (id.layer >= l->config.n_layer) {
        return error_set(err, GPT2Q_FORMAT, "%s: %s is there, but %s says that n_layer is %d", path, t->name,
                         config_name(l), (int)l->config.n_layer);
    }
    const struct binding **bound = &l->bound[weight_slot(&l->config, id)];
    if (*bound) {
        return error_set(err, GPT2Q_FORMAT, "%s: %s is there twice, also as %s in %s", path, t->name,
                         (*bound)->tensor->name, (*bound)->file);
    }
    struct binding *b = &l->items[l->n++];
    *b = (struct binding){id, t, path, false};
    *bound = b;
    return check_type(b, l, err);
}

static const struct binding *bound_to(const struct bindings *l, enum weight_part part)
{
    return l->bound[weight_slot(&l->config, (struct weight_id){part, 0})];
}

static gpt2q_status check_missing(const struct bindings *l, gpt2q_error *err)
{
    size_t missing = 0;
    char name[WEIGHT_NAME_MAX], first[WEIGHT_NAME_MAX] = "", more[48] = "";
    for (size_t i = 0; i < weight_slots(&l->config); i++) {
        struct weight_id id = weight_at(&l->config, i);
        /* A model of another head has none of this one, and what it says of tying is of no use. */
        const bool tied = l->config.tie_word_embeddings || l->left_out.n > 0;
        if (l->bound[i] || (id.part == PART_LM_HEAD && tied)) continue;
        if (!missing++) memcpy(first, weight_print(id, name), sizeof first);
    }
    if (!missing) return GPT2Q_OK;
    if (missing > 1) snprintf(more, sizeof more, " (and %zu more)", missing - 1);
    return error_set(
        err, GPT2Q_FORMAT, "%s: %s is missing%s%s", l->directory, first, more,
        strcmp(first, "lm_head.weight") == 0 ? ", and config.json says that it is not tied to wte" : "");
}

const struct container_tensor *bindings_equal_head(const struct container *c)
{
    const struct container_tensor *of[PART_COUNT] = {0};
    for (size_t f = 0; f < c->n_files; f++)
        for (size_t i = 0; i < c->files[f].n_tensors; i++) {
            const struct container_tensor *t = &c->files[f].tensors[i];
            struct weight_id id;
            if (weight_parse(weight_strip(t->name), &id) == NAME_WEIGHT) of[id.part] = t;
        }
    const struct container_tensor *head = of[PART_LM_HEAD], *wte = of[PART_WTE];
    return head && wte && container_equal(head, wte) ? head : NULL;
}

static void tie_equal_head(struct bindings *l)
{
    const struct binding *head = bound_to(l, PART_LM_HEAD), *wte = bound_to(l, PART_WTE);
    l->wte = *wte;
    l->tied = !head || head->tensor == bindings_equal_head(&l->container);
    if (!head || !l->tied) return;
    size_t at = (size_t)(head - l->items);
    memmove(&l->items[at], &l->items[at + 1], (l->n - at - 1) * sizeof *l->items);
    l->n--;
}

static gpt2q_status bind_all(struct bindings *l, gpt2q_error *err)
{
    size_t n = weight_slots(&l->config);
    l->items = mem_zarray(n, sizeof *l->items);
    l->bound = mem_zarray(n, sizeof *l->bound);
    if (!l->items || !l->bound) return error_memory(err, "a table of tensors", n * sizeof *l->items);
    for (size_t f = 0; f < l->container.n_files; f++) {
        const struct container_file *file = &l->container.files[f];
        for (size_t i = 0; i < file->n_tensors; i++) {
            gpt2q_status s = bind(l, file->path, &file->tensors[i], err);
            if (s) return s;
        }
    }
    gpt2q_status s = check_missing(l, err);
    if (!s) tie_equal_head(l);
    return s;
}

static enum dtype dtype_of(const struct container_tensor *t)
{
    return t->dtype == ST_F32 || t->dtype == ST_F64 ? DT_F32 : t->dtype == ST_F16 ? DT_F16 : DT_BF16;
}

static gpt2q_status walk(const struct bindings *l, bool stored, binding_fn *fn, void *user, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    for (size_t i = 0; i < l->n && !s; i++) {
        const struct binding *b = &l->items[i];
        const struct container_tensor *t = b->tensor;
        const bool blocks = stored && b->as_blocks;
        char name[WEIGHT_NAME_MAX];
        const struct container_tensor *next = i + 1 < l->n ? l->items[i + 1].tensor : NULL;
        if (next && !next->copied) file_map_prefetch(next->data, next->size);
        float *floats = NULL;
        if (!blocks && container_needs_floats(t)) s = container_floats(t, b->file, &floats, err);
        if (s) return s;
        const void *data = blocks ? NULL : floats ? (const void *)floats : t->data;
        const struct qsource src =
            weights_source(&l->config, b->id, weight_print(b->id, name), dtype_of(t), data, t->turned);
        s = fn(user, i, &src, err);
        mem_free(floats);
        if (!t->copied) file_map_drop(t->data, t->size);
    }
    return s;
}

gpt2q_status bindings_walk(const struct bindings *l, binding_fn *fn, void *user, gpt2q_error *err)
{
    return walk(l, false, fn, user, err);
}

gpt2q_status bindings_walk_stored(const struct bindings *l, binding_fn *fn, void *user, gpt2q_error *err)
{
    return walk(l, true, fn, user, err);
}

/* Opens a file that is a model by itself. */
static gpt2q_status open_file(const char *path, struct bindings *out, gpt2q_error *err)
{
    gpt2q_status s = container_open_file(path, &out->container, err);
    if (s) return s;
    const struct gguf_file *gguf = container_gguf(&out->container.files[0]);
    if (gguf) return gguf_config(gguf, &out->config, err);
    const struct safetensors *st = container_safetensors(&out->container.files[0]);
    if (st && safetensors_is_gpt2q(st)) {
        container_close(&out->container);
        s = container_open_gpt2q(path, &out->container, err);
        if (!s) out->config = container_gpt2q(&out->container.files[0])->config;
        return s;
    }
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "%s: holds tensors and no config; name the directory with their config.json", path);
}

gpt2q_status bindings_open(const char *path, struct bindings *out, gpt2q_error *err)
{
    *out = (struct bindings){.directory = path};
    gpt2q_status s;
    if (file_exists(path) && !file_is_directory(path)) {
        s = open_file(path, out, err);
    } else {
        s = config_open(path, &out->config, err);
        if (!s) s = container_open_directory(path, &out->container, err);
    }
    if (!s) s = bind_all(out, err);
    if (s) bindings_close(out);
    return s;
}

gpt2q_status bindings_texts(const struct bindings *b, struct directory_texts *out, gpt2q_error *err)
{
    const struct gguf_file *gguf = container_gguf(&b->container.files[0]);
    const struct gpt2_weights *stored = container_gpt2q(&b->container.files[0]);
    if (stored) return gpt2q_texts(&stored->files[0], out, err);
    return gguf ? gguf_texts(gguf, out, err) : directory_read_to_store(b->directory, out, err);
}

void bindings_close(struct bindings *l)
{
    container_close(&l->container);
    mem_free(l->items);
    mem_free(l->bound);
    *l = (struct bindings){0};
}

void bindings_add_head(struct bindings *l)
{
    l->items[l->n++] = (struct binding){{PART_LM_HEAD, 0}, l->wte.tensor, l->wte.file, false};
}
