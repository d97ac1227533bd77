/* Any bytes as a pytorch_model.bin: refused, or every tensor lies within the bytes or within a copy that
 * the file's size bounds. The sums of the archive are not checked: they would find every flipped bit, and
 * nothing behind them would be tested. */
#include "model/torch_file.h"
#include "model/torch_pickle.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(const struct torch_file *t, const uint8_t *data, size_t size,
                      const struct st_tensor *tensor)
{
    if (tensor->data >= data && tensor->data <= data + size &&
        tensor->size <= (size_t)(data + size - tensor->data))
        return true;
    for (size_t i = 0; i < t->n_copies; i++)
        if (t->copies[i] == tensor->data) return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct torch_file t;
    struct torch_pickle p;
    gpt2q_error err = {0};
    if (!torch_pickle_read(data, size, "fuzz", &p, &err))
        assert(p.result < p.n_nodes && p.n_nodes <= size && p.n_cells <= 2 * size && p.size <= size);
    else
        assert(err.message[0]);
    torch_pickle_free(&p);
    if (torch_file_from_memory(data, size, "fuzz", &t, &err)) {
        assert(err.message[0] && !t.tensors);
        return 0;
    }
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < t.n_tensors; i++) {
        const struct st_tensor *tensor = &t.tensors[i];
        assert(is_within(&t, data, size, tensor));
        assert(torch_file_find(&t, tensor->name) == tensor);
        if (tensor->size) sum = (uint8_t)(sum + tensor->data[0] + tensor->data[tensor->size - 1]);
    }
    torch_file_check(&t, &err);
    torch_file_close(&t);
    return 0;
}
