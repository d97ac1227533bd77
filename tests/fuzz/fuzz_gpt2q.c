/* Any bytes as a .gpt2q file: refused, or every weight lies within the bytes. */
#include "base/memory.h"
#include "model/gpt2q_check.h"
#include "model/gpt2q_read.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_weights(struct gpt2q_file *f, const uint8_t *bytes, size_t size)
{
    struct gpt2_weights w;
    gpt2q_error err;
    if (gpt2q_file_weights(f, &w, &err)) {
        assert(err.message[0] && !w.tensors);
        return;
    }
    assert(w.wte.codes >= bytes && w.wte.codes < bytes + size);
    (void)qtensor_check_codes(&w.wte, "fuzz", "wte.weight", &err);
    float sum = w.wpe[0] + w.ln_f.bias[w.config.n_embd - 1] +
                w.h[w.config.n_layer - 1].c_fc.bias[w.config.n_inner - 1];
    (void)sum;
    weights_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors st;
    struct gpt2q_file f;
    struct tokenizer *tokenizer;
    uint8_t *bytes = mem_alloc(size); /* aligned, as a map is */
    assert(bytes);
    if (size) memcpy(bytes, data, size);
    if (!safetensors_from_memory(bytes, size, "fuzz", &st, NULL) && !gpt2q_file_from(&st, &f, NULL)) {
        (void)gpt2q_file_tokenizer(&f, &tokenizer, NULL);
        tokenizer_free(tokenizer);
        read_weights(&f, bytes, size);
        gpt2q_file_close(&f);
    }
    mem_free(bytes);
    return 0;
}
