/* The folder appears whole (base/file_writer.h). */
#include "quantize/export.h"
#include "quantize/gpt2q_write.h"
#include "base/file_writer.h"
#include "quantize/tokenizer_json.h"
#include "base/memory.h"
#include "model/config.h"
#include "model/model_files.h"
#include "qtensor/isa.h"
#include "tokenizer/directory.h"
#include "tokenizer/vocabulary.h"
#include <string.h>

struct exporter {
    struct folder_writer folder;
    const char *source;   /* the directory the model is read from */
    const float *factors; /* of mlp.c_proj's inputs (n_layer, n_inner), or NULL */
    const struct bindings *bindings;
    gpt2q_config config;
    struct file_writer file;
};

void exporter_abort(struct exporter *e)
{
    if (!e) return;
    if (e->file.path) file_writer_abort(&e->file);
    if (e->folder.path) folder_writer_abort(&e->folder);
    mem_free(e);
}

static gpt2q_status write_header(struct exporter *e, const struct bindings *b, gpt2q_error *err)
{
    const struct st_metadata format = {.key = (char[]){"format"}, .value = (char[]){"pt"}};
    struct st_declaration *d = mem_zarray(b->n, sizeof *d);
    char(*names)[WEIGHT_NAME_MAX] = mem_array(b->n, sizeof *names);
    gpt2q_status s = d && names ? GPT2Q_OK : error_memory(err, "a table of tensors", b->n * sizeof *d);
    for (size_t i = 0; i < b->n && !s; i++) {
        d[i] = (struct st_declaration){.name = weight_print(b->items[i].id, names[i]), .dtype = ST_F32};
        d[i].n_dims = weight_shape(&b->config, b->items[i].id.part, d[i].shape);
        if (b->items[i].id.part == PART_LM_HEAD) e->config.tie_word_embeddings = false;
    }
    if (!s) s = st_write_header(&e->file, d, b->n, &format, 1, err);
    mem_free(d);
    mem_free(names);
    return s;
}

/* What the folder held of a model before goes; a tokenizer's file that stayed would count. */
static bool belongs(const char *name)
{
    return model_file_is_text(name) || !strcmp(name, "model.safetensors");
}

gpt2q_status exporter_open(const char *directory, const struct quantizer *q, struct exporter **out,
                           gpt2q_error *err)
{
    *out = NULL;
    struct exporter *e = mem_zalloc(sizeof *e);
    if (!e) return error_memory(err, "an exporter", sizeof *e);
    e->config = q->bindings.config;
    e->factors = q->factors;
    e->config.tie_word_embeddings = true;
    e->source = q->bindings.directory;
    e->bindings = &q->bindings;
    gpt2q_status s = folder_writer_open(&e->folder, directory, belongs, err);
    if (!s) s = folder_writer_file(&e->folder, "model.safetensors", &e->file, err);
    if (!s) s = write_header(e, &q->bindings, err);
    if (s)
        exporter_abort(e);
    else
        *out = e;
    return s;
}

/* ---- tensors ---- */

/* Writes 64 outputs of a Conv1D matrix side by side into each input's row. */
static void turn_in(const float *rows, int n, int cols, size_t stride, float *out)
{
    for (int k = 0; k < cols; k++)
        for (int o = 0; o < n; o++)
            out[(size_t)k * stride + (size_t)o] = rows[(size_t)o * (size_t)cols + (size_t)k];
}

static gpt2q_status put_matrix(struct exporter *e, const struct quantized *q, gpt2q_error *err)
{
    const struct qtensor *w = &q->matrix;
    bool turned = weight_is_conv1d(q->id.part);
    size_t rows = (size_t)w->rows, cols = (size_t)w->cols;
    const float *factors =
        e->factors && q->id.part == PART_MLP_C_PROJ_WEIGHT ? e->factors + (size_t)q->id.layer * cols : NULL;
    float *panel = mem_array(PANEL * cols, sizeof *panel),
          *whole = turned ? mem_array(rows * cols, sizeof *whole) : NULL;
    gpt2q_status s = GPT2Q_OK;
    if (!panel || (turned && !whole)) s = error_memory(err, q->name, rows * cols * sizeof(float));
    for (int row = 0; row < w->rows && !s; row += PANEL) {
        int n = w->rows - row < PANEL ? w->rows - row : PANEL;
        for (int o = 0; o < n; o++) {
            float *to = panel + (size_t)o * cols;
            isa_at(0)->formats[w->scheme.format].dequantize_row(w, row + o, to);
            for (size_t k = 0; factors && k < cols; k++) to[k] *= factors[k]; /* other tools have none */
        }
        if (turned)
            turn_in(panel, n, w->cols, rows, whole + row);
        else
            s = file_writer_write(&e->file, panel, (size_t)n * cols * sizeof *panel, err);
    }
    if (turned && !s) s = file_writer_write(&e->file, whole, rows * cols * sizeof *whole, err);
    mem_free(panel);
    mem_free(whole);
    return s;
}

gpt2q_status exporter_put(struct exporter *e, const struct quantized *q, gpt2q_error *err)
{
    return q->is_matrix ? put_matrix(e, q, err)
                        : file_writer_write(&e->file, q->values, q->n * sizeof *q->values, err);
}

/* ---- the other files ---- */

static gpt2q_status write_text(struct exporter *e, const char *name, const char *text, size_t n,
                               gpt2q_error *err)
{
    struct file_writer w;
    gpt2q_status s = folder_writer_file(&e->folder, name, &w, err);
    if (s) return s;
    s = file_writer_write(&w, text, n, err);
    if (!s) return file_writer_commit(&w, err);
    file_writer_abort(&w);
    return s;
}

static gpt2q_status copy_text(struct exporter *e, const char *name, gpt2q_error *err)
{
    char *path = path_join(e->source, name), *text = NULL;
    size_t n;
    if (!path) return error_memory(err, "a path", strlen(e->source));
    gpt2q_status s = GPT2Q_OK;
    if (file_exists(path)) {
        s = file_read_regular(path, VOCABULARY_MAX_BYTES, &text, &n, err);
        if (!s) s = write_text(e, name, text, n, err);
    }
    mem_free(text);
    mem_free(path);
    return s;
}

static gpt2q_status write_made(struct exporter *e, const char *name, char *text, gpt2q_error *err)
{
    gpt2q_status s = text ? write_text(e, name, text, strlen(text), err) : error_memory(err, name, 0);
    mem_free(text);
    return s;
}

/* Added tokens, and ids around a text, stand in a tokenizer.json. */
static gpt2q_status write_tokenizer(struct exporter *e, const struct tokenizer_texts *texts, gpt2q_error *err)
{
    struct tokenizer *t;
    gpt2q_status s = tokenizer_from_texts(texts, &t, err);
    if (s) return s;
    s = write_made(e, directory_file_names[FILE_TOKENIZER], tokenizer_json_print(t), err);
    if (!s) s = write_made(e, directory_file_names[FILE_TOKENIZER_CONFIG], tokenizer_config_print(t), err);
    tokenizer_free(t);
    return s;
}

/* Writes the tokenizer of a model that is one file: its texts under the names that a directory has. */
static gpt2q_status write_texts(struct exporter *e, gpt2q_error *err)
{
    struct directory_texts t;
    gpt2q_status s = bindings_texts(e->bindings, &t, err);
    const bool more = !s && t.texts.extras.text;
    if (more) s = write_tokenizer(e, &t.texts, err);
    for (int i = 0; i < DIRECTORY_FILES && !s && !more; i++)
        if (t.files[i].text)
            s = write_text(e, directory_file_names[i], t.files[i].text, t.files[i].size, err);
    directory_free(&t);
    return s;
}

static gpt2q_status copy_texts(struct exporter *e, gpt2q_error *err)
{
    gpt2q_status s = GPT2Q_OK;
    for (int i = 0; i < DIRECTORY_FILES && !s; i++) s = copy_text(e, directory_file_names[i], err);
    return s ? s : copy_text(e, "generation_config.json", err);
}

gpt2q_status exporter_commit(struct exporter *e, gpt2q_error *err)
{
    char *config = config_print(&e->config);
    gpt2q_status s = config ? write_text(e, "config.json", config, strlen(config), err)
                            : error_memory(err, "a config", 1024);
    mem_free(config);
    if (!s) s = (file_is_directory(e->source) ? copy_texts : write_texts)(e, err);
    if (!s) s = file_writer_commit(&e->file, err);
    if (!s) s = folder_writer_commit(&e->folder, err);
    exporter_abort(e); /* of what is committed nothing is left in it */
    return s;
}
