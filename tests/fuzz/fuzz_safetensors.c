/* Any bytes as a safetensors file: refused, or every tensor lies within the bytes. */
#include "model/safetensors.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors st;
    gpt2q_error err;
    if (safetensors_from_memory(data, size, "fuzz", &st, &err)) {
        assert(err.message[0] && !st.tensors);
        return 0;
    }
    for (size_t i = 0; i < st.n_tensors; i++) {
        const struct st_tensor *t = &st.tensors[i];
        assert(t->data >= data && t->data <= data + size && t->size <= (size_t)(data + size - t->data));
        assert(safetensors_find(&st, t->name) == t);
    }
    for (size_t i = 0; i < st.n_metadata; i++) assert(safetensors_metadata(&st, st.metadata[i].key));
    safetensors_close(&st);
    return 0;
}
