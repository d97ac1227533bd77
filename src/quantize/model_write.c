#include "quantize/model_write.h"
#include "quantize/gguf_write.h"
#include "quantize/gpt2q_write.h"
#include <string.h>
#include <strings.h>

bool model_path_is_gguf(const char *path)
{
    const size_t n = strlen(path);
    return n > 5 && !strcasecmp(path + n - 5, ".gguf");
}

gpt2q_status model_writer_open(const char *path, struct quantizer *q, const char *source, bool force,
                               struct model_writer *out, gpt2q_error *err)
{
    *out = (struct model_writer){0};
    return model_path_is_gguf(path) ? gguf_writer_open(path, q, source, force, &out->gguf, err)
                                    : gpt2q_writer_open(path, q, source, &out->gpt2q, err);
}

gpt2q_status model_writer_put(const struct model_writer *w, const struct quantized *q, gpt2q_error *err)
{
    return w->gguf ? gguf_writer_put(w->gguf, q, err) : gpt2q_writer_put(w->gpt2q, q, err);
}

gpt2q_status model_writer_commit(struct model_writer *w, uint64_t *bytes, gpt2q_error *err)
{
    gpt2q_status s =
        w->gguf ? gguf_writer_commit(w->gguf, bytes, err) : gpt2q_writer_commit(w->gpt2q, bytes, err);
    *w = (struct model_writer){0};
    return s;
}

void model_writer_abort(struct model_writer *w)
{
    gguf_writer_abort(w->gguf);
    gpt2q_writer_abort(w->gpt2q);
    *w = (struct model_writer){0};
}
