/* Any bytes as a .gpt2q file: refused, or every weight lies within the bytes. */
#include "base/memory.h"
#include "model/gpt2q_check.h"
#include "model/gpt2q_read.h"
#include "model/gpt2q_tokenizer.h"
#include <assert.h>
#include <stdlib.h>
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

/* Whatever the tables hold, ids are valid and bytes lie within the file. */
static void use_tokenizer(const struct tokenizer *t)
{
    static const char text[] = "abcabc aa  bb\n\xC3\xA9\xFF the<|endoftext|>";
    int32_t ids[4 * sizeof text];
    const size_t capacity = sizeof ids / sizeof *ids;
    size_t n, length;
    unsigned sum = 0;
    /* a vocabulary without one of the text's bytes refuses it */
    if (tokenizer_encode(t, text, sizeof text - 1, TOKENIZER_SPECIAL, ids, capacity, &n, NULL)) return;
    if (n > tokenizer_max_ids(t, sizeof text - 1)) abort();
    if (n > capacity) n = capacity;
    for (size_t i = 0; i < n; i++) {
        assert(ids[i] >= 0 && ids[i] < tokenizer_size(t));
        const char *bytes = tokenizer_bytes(t, ids[i], &length);
        assert(length <= tokenizer_longest(t) && !bytes == !length);
        for (size_t j = 0; j < length; j++) sum += (unsigned char)bytes[j];
    }
    (void)sum;
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
        if (!gpt2q_tokenizer_open(&f.st, &tokenizer, NULL) && tokenizer) use_tokenizer(tokenizer);
        tokenizer_free(tokenizer);
        read_weights(&f, bytes, size);
        gpt2q_file_close(&f);
    }
    mem_free(bytes);
    return 0;
}
