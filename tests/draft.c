#include "tests/draft.h"

struct weights_params params_of(const char *scheme)
{
    struct weights_params p = {.n_threads = 2};
    assert_int_equal(scheme_parse(scheme, &p.scheme, NULL), GPT2Q_OK);
    return p;
}

struct gpt2_weights loaded(const char *directory, const struct weights_params *p)
{
    struct gpt2_weights w;
    gpt2q_error err;
    if (weights_load(directory, p, &w, &err)) fail_msg("%s", err.message);
    return w;
}

void draft_add(struct draft *d, const char *name, enum st_dtype dtype, int n_dims, const uint64_t *shape,
               const void *data)
{
    assert_true(d->n < MAX_DRAFT);
    struct st_declaration *t = &d->tensors[d->n];
    *t = (struct st_declaration){.name = strdup(name), .dtype = dtype, .n_dims = n_dims};
    for (int i = 0; i < n_dims; i++) t->shape[i] = shape[i];
    size_t size = st_declaration_size(t);
    d->data[d->n] = calloc(1, size + 1);
    if (data) memcpy(d->data[d->n], data, size);
    d->n++;
}

size_t draft_index(const struct draft *d, const char *name)
{
    size_t i = 0;
    while (i < d->n && strcmp(d->tensors[i].name, name) != 0) i++;
    assert_true(i < d->n);
    return i;
}

void draft_remove(struct draft *d, const char *name)
{
    size_t i = draft_index(d, name);
    free((void *)(uintptr_t)d->tensors[i].name);
    free(d->data[i]);
    d->n--;
    memmove(&d->tensors[i], &d->tensors[i + 1], (d->n - i) * sizeof *d->tensors);
    memmove(&d->data[i], &d->data[i + 1], (d->n - i) * sizeof *d->data);
}

void draft_file(const struct draft *d, const char *file, const char *text)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", d->directory, file);
    write_file(path, text, strlen(text));
}

void draft_config(const struct draft *d, const char *more)
{
    char text[512];
    snprintf(text, sizeof text,
             "{\"model_type\":\"gpt2\",\"vocab_size\":257,\"n_positions\":64,\"n_embd\":32,\"n_layer\":1,\"n_"
             "head\":2,"
             "\"activation_function\":\"relu\",\"bos_token_id\":256,\"eos_token_id\":256%s}",
             more);
    draft_file(d, "config.json", text);
}

void draft_open(struct draft *d)
{
    struct safetensors st;
    char *directory = temp_directory();
    *d = (struct draft){0};
    snprintf(d->directory, sizeof d->directory, "%s", directory);
    free(directory);
    assert_int_equal(safetensors_open(repo_path("tests/golden/data/tiny-relu/model.safetensors"), &st, NULL),
                     GPT2Q_OK);
    for (size_t i = 0; i < st.n_tensors; i++) {
        const struct st_tensor *t = &st.tensors[i];
        draft_add(d, t->name, t->dtype, t->n_dims, t->shape, t->data);
    }
    safetensors_close(&st);
    draft_config(d, "");
}

/* Writes tensors [begin, end) into a file. */
void draft_write_part(const struct draft *d, const char *file, size_t begin, size_t end)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", d->directory, file);
    struct file_writer w;
    gpt2q_error err;
    if (file_writer_open(&w, path, &err)) fail_msg("%s", err.message);
    if (st_write_header(&w, d->tensors + begin, end - begin, NULL, 0, &err)) fail_msg("%s", err.message);
    for (size_t i = begin; i < end; i++) {
        assert_int_equal(file_writer_write(&w, d->data[i], st_declaration_size(&d->tensors[i]), NULL),
                         GPT2Q_OK);
    }
    assert_int_equal(file_writer_commit(&w, NULL), GPT2Q_OK);
}

void draft_write(const struct draft *d) { draft_write_part(d, "model.safetensors", 0, d->n); }

void draft_close(struct draft *d)
{
    while (d->n) draft_remove(d, d->tensors[0].name);
    temp_remove(strdup(d->directory));
}

void draft_refused(struct draft *d, const char *scheme, gpt2q_status status, const char *because)
{
    struct gpt2_weights w;
    gpt2q_error err;
    struct weights_params p = params_of(scheme);
    if (!weights_load(d->directory, &p, &w, &err)) fail_msg("accepted, not refused because '%s'", because);
    if (!strstr(err.message, because)) fail_msg("'%s' does not say '%s'", err.message, because);
    assert_int_equal(err.status, status);
    assert_null(w.h);
    draft_close(d);
}
