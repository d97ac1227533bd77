#include "study/logits_file.h"
#include "base/checked.h"
#include "base/memory.h"
#include "qtensor/quantize.h"
#include <string.h>

static bool readable(const struct st_tensor *t, enum dtype *dtype)
{
    if (t->dtype == ST_F32)
        *dtype = DT_F32;
    else if (t->dtype == ST_F16)
        *dtype = DT_F16;
    else if (t->dtype == ST_BF16)
        *dtype = DT_BF16;
    else
        return false;
    return true;
}

static gpt2q_status check_shapes(struct logits_file *f, const struct st_tensor *ids,
                                 const gpt2q_config *model, gpt2q_error *err)
{
    const char *path = f->file.map.path;
    const struct st_tensor *t = f->logits;
    enum dtype dtype;
    if (!readable(t, &dtype))
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: logits are %s where F32, F16 or BF16 is expected", path,
                         st_dtype_name(t->dtype));
    if (ids->dtype != ST_I64 && ids->dtype != ST_I32)
        return error_set(err, GPT2Q_UNSUPPORTED, "%s: input_ids are %s where I64 is expected", path,
                         st_dtype_name(ids->dtype));
    int n = ids->n_dims;
    if (n < 1 || n > 2 || t->n_dims != n + 1 ||
        memcmp(ids->shape, t->shape, (size_t)n * sizeof *t->shape) != 0)
        return error_set(
            err, GPT2Q_FORMAT,
            "%s: the shapes of input_ids (windows, window) and logits (windows, window, vocab_size) do "
            "not go together",
            path);
    if (t->shape[n] != (uint64_t)model->vocab_size)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: logits over a vocabulary of %llu where the model's has %d", path,
                         (unsigned long long)t->shape[n], (int)model->vocab_size);
    uint64_t window = ids->shape[n - 1];
    if (window < 1 || window > (uint64_t)model->n_positions)
        return error_set(err, GPT2Q_INVALID_ARGUMENT,
                         "%s: windows of %llu tokens where the model's context has %d", path,
                         (unsigned long long)window, (int)model->n_positions);
    f->window = (int32_t)window;
    f->vocab = model->vocab_size;
    f->count = n == 2 ? (size_t)ids->shape[0] : 1;
    return GPT2Q_OK;
}

static gpt2q_status read_ids(struct logits_file *f, const struct st_tensor *t, gpt2q_error *err)
{
    size_t n = f->count * (size_t)f->window, width = t->dtype == ST_I64 ? sizeof(int64_t) : sizeof(int32_t);
    f->ids = mem_array(n, sizeof *f->ids);
    if (!f->ids) return error_memory(err, "input_ids", n * sizeof *f->ids);
    for (size_t i = 0; i < n; i++) {
        int64_t wide;
        int32_t narrow;
        memcpy(width == sizeof wide ? (void *)&wide : &narrow, t->data + i * width, width);
        if (width == sizeof narrow) wide = narrow;
        if (wide < 0 || wide >= f->vocab)
            return error_set(err, GPT2Q_FORMAT, "%s: input_ids[%zu] is %lld, outside the vocabulary of %d",
                             f->file.map.path, i, (long long)wide, (int)f->vocab);
        f->ids[i] = (int32_t)wide;
    }
    return GPT2Q_OK;
}

gpt2q_status logits_file_open(const char *path, const gpt2q_config *model, struct logits_file *out,
                              gpt2q_error *err)
{
    *out = (struct logits_file){0};
    gpt2q_status s = safetensors_open(path, &out->file, err);
    if (s) return s;
    const struct st_tensor *ids = safetensors_find(&out->file, "input_ids");
    out->logits = safetensors_find(&out->file, "logits");
    if (!ids || !out->logits)
        s = error_set(err, GPT2Q_FORMAT, "%s: a tensor '%s' is expected", path, ids ? "logits" : "input_ids");
    if (!s) s = check_shapes(out, ids, model, err);
    if (!s) s = read_ids(out, ids, err);
    if (s) logits_file_close(out);
    return s;
}

void logits_file_close(struct logits_file *f)
{
    mem_free(f->ids);
    safetensors_close(&f->file);
    *f = (struct logits_file){0};
}

void logits_file_read(const struct logits_file *f, size_t window, int32_t first, int32_t n, float *out)
{
    struct qsource rows = {.name = "logits", .data = f->logits->data, .cols = f->vocab, .col_stride = 1};
    rows.rows = n;
    rows.row_stride = (size_t)f->vocab;
    if (!readable(f->logits, &rows.dtype)) return;
    size_t element = rows.dtype == DT_F32 ? sizeof(float) : sizeof(uint16_t);
    size_t row = window * (size_t)f->window + (size_t)first;
    rows.data = f->logits->data + row * (size_t)f->vocab * element;
    for (int32_t r = 0; r < n; r++) qsource_read(&rows, r, 0, f->vocab, out + (size_t)r * (size_t)f->vocab);
}

gpt2q_status logits_file_begin(struct file_writer *w, const struct windows *windows, int32_t vocab,
                               gpt2q_error *err)
{
    size_t count = windows_count(windows);
    uint64_t window = (uint64_t)windows->window;
    struct st_declaration d[] = {
        {.name = "input_ids", .dtype = ST_I64, .n_dims = 2, .shape = {count, window}},
        {.name = "logits", .dtype = ST_F32, .n_dims = 3, .shape = {count, window, (uint64_t)vocab}}};
    struct st_metadata format = {.key = (char[]){"format"}, .value = (char[]){"pt"}};
    gpt2q_status s = st_write_header(w, d, 2, &format, 1, err);
    for (size_t j = 0; j < count && !s; j++)
        for (size_t i = 0; i < window && !s; i++) {
            int64_t id = windows->ids[windows_begin(windows, j) + i];
            s = file_writer_write(w, &id, sizeof id, err);
        }
    return s;
}
