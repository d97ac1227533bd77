#include "tests/parameters.h"
#include "tests/support.h"
#include "base/memory.h"
#include "model/bindings.h"

struct reading {
    const struct param_list *params;
    float *block;
};

/* binding_fn: copies a tensor to its place, with Conv1D turned. */
static gpt2q_status read_tensor(void *user, size_t i, const struct qsource *src, gpt2q_error *err)
{
    const struct reading *r = user;
    (void)i, (void)err;
    for (int t = 0; t < r->params->count; t++) {
        const struct param *p = &r->params->list[t];
        if (strcmp(src->name, p->name)) continue;
        assert_int_equal((size_t)src->rows * (size_t)src->cols, param_floats(p));
        for (int row = 0; row < src->rows; row++)
            qsource_read(src, row, 0, src->cols, r->block + p->at + (size_t)row * (size_t)src->cols);
    }
    return GPT2Q_OK;
}

void parameters_read(const char *directory, struct param_list *p, float **block)
{
    gpt2q_error err;
    struct bindings b;
    if (bindings_open(directory, &b, &err)) fail_msg("%s", err.message);
    if (params_create(p, &b.config, !b.tied, &err)) fail_msg("%s", err.message);
    *block = mem_zarray(p->floats, sizeof(float));
    assert_non_null(*block);
    struct reading r = {p, *block};
    assert_int_equal(bindings_walk(&b, read_tensor, &r, &err), GPT2Q_OK);
    bindings_close(&b);
}
