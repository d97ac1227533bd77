/* Any bytes as a config.json: refused, or a config whose text is read back as the same. */
#include "base/memory.h"
#include "model/config.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gpt2q_config a, b;
    gpt2q_error err;
    if (config_parse((const char *)data, size, "fuzz", &a, &err)) {
        assert(err.message[0]);
        return 0;
    }
    assert(a.n_embd % a.n_head == 0 && config_parameters(&a) > 0);
    char *text = config_print(&a);
    assert(text && !config_parse(text, strlen(text), "printed", &b, &err));
    mem_free(text);
    assert(a.vocab_size == b.vocab_size && a.n_positions == b.n_positions && a.n_embd == b.n_embd &&
           a.n_layer == b.n_layer);
    assert(a.n_head == b.n_head && a.n_inner == b.n_inner && a.eos_token_id == b.eos_token_id);
    assert(a.n_more_eos == b.n_more_eos);
    for (int32_t i = 0; i < a.n_more_eos; i++) assert(config_is_end(&b, a.more_eos_token_ids[i]));
    assert(a.layer_norm_epsilon == b.layer_norm_epsilon && config_activation(&a) == config_activation(&b));
    return 0;
}
