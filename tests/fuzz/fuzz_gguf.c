/* Any bytes as a GGUF file: refused, or every tensor lies within the bytes, and config and vocabulary are
 * read or refused. */
#include "model/gguf_model.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    }
    if (!gguf_config(&f, &config, &err)) assert(config.n_embd > 0 && config.vocab_size > 0);
    if (!gguf_tokenizer_open(&f, &t, &err)) tokenizer_free(t);
    gguf_close(&f);
    return 0;
}
