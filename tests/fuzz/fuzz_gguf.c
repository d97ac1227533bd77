/* Any bytes as a GGUF file: refused, or every tensor lies within the bytes, what lies in blocks is held or becomes floats, and config
 * and vocabulary are read or refused. */
#include "base/memory.h"
#include "model/gguf_model.h"
#include "model/stored.h"
#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In the scheme that its type gives, or as floats. */
static void hold(const struct gguf_tensor *g)
{
    const struct container_tensor t = {.name = g->name,
                                       .dtype = ST_F32,
                                       .blocks = g->type,
                                       .n_dims = 1,
                                       .shape = {g->elements},
                                       .data = g->data,
                                       .size = g->size};
    const struct qsource shape = {
        .name = g->name, .rows = (int)(g->elements / g->ne[0]), .cols = (int)g->ne[0]};
    const struct quantize_run run = {.n_threads = 1};
    struct qtensor w;
    float *floats;
    gpt2q_error err = {0};
    const struct scheme s = gguf_exact_scheme(g->type, g->data, g->elements, shape.cols);
    void *memory = scheme_has_codes(s) ? mem_alloc(qtensor_memory(s, shape.rows, shape.cols)) : NULL;
    const gpt2q_status held = memory ? stored_hold(&t, s, &shape, memory, &run, &w, &err) : GPT2Q_OK;
    if (held) abort();
    mem_free(memory);
    if (container_floats(&t, "fuzz", &floats, &err))
        assert(err.message[0]);
    else
        mem_free(floats);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf_file f;
    struct tokenizer *t;
    gpt2q_config config;
    gpt2q_error err = {0};
    char name[WEIGHT_NAME_MAX];
    if (gguf_from_memory(data, size, "fuzz", &f, &err)) {
        assert(err.message[0] && !f.tensors && !f.keys);
        return 0;
    }
    for (size_t i = 0; i < f.n_tensors; i++) {
        const struct gguf_tensor *tensor = &f.tensors[i];
        assert(tensor->data >= data && tensor->data <= data + size);
        assert(tensor->size <= (size_t)(data + size - tensor->data));
        assert(gguf_find_tensor(&f, tensor->name) == tensor);
        gguf_weight_name(tensor->name, name);
        if (tensor->type->codes) hold(tensor);
    }
    if (!gguf_config(&f, &config, &err)) assert(config.n_embd > 0 && config.vocab_size > 0);
    if (!gguf_tokenizer_open(&f, &t, &err)) tokenizer_free(t);
    gguf_close(&f);
    return 0;
}
