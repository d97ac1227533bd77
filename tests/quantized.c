#include "tests/quantized.h"
#include "quantize/export.h"
#include "quantize/model_write.h"

static gpt2q_status put(void *user, const struct quantized *q, gpt2q_error *err)
{
    return model_writer_put(user, q, err);
}

gpt2q_status quantize_to(const char *model, const char *spec, const char *const *overrides,
                         size_t n_overrides, const char *path, gpt2q_error *err)
{
    struct weights_params p = {.overrides = overrides, .n_overrides = n_overrides, .n_threads = 2};
    struct quantizer q;
    struct model_writer writer;
    uint64_t bytes;
    const char *directory = *model == '/' ? model : repo_path(model);
    p.as_stored = !spec;
    gpt2q_status s = scheme_parse(spec ? spec : "i8", &p.scheme, err);
    if (!s) s = quantizer_open(directory, &p, &q, err);
    if (s) return s;
    s = model_writer_open(path, &q, "test", false, &writer, err);
    if (!s) s = quantizer_run(&q, put, &writer, err);
    if (s)
        model_writer_abort(&writer);
    else
        s = model_writer_commit(&writer, &bytes, err);
    quantizer_close(&q);
    return s;
}

static gpt2q_status put_export(void *user, const struct quantized *q, gpt2q_error *err)
{
    return exporter_put(user, q, err);
}

gpt2q_status export_to(const char *model, const char *spec, const char *directory, gpt2q_error *err)
{
    struct weights_params p = {.n_threads = 2, .as_stored = !spec};
    struct quantizer q;
    struct exporter *exporter;
    gpt2q_status s = scheme_parse(spec ? spec : "f32", &p.scheme, err);
    if (!s) s = quantizer_open(*model == '/' ? model : repo_path(model), &p, &q, err);
    if (s) return s;
    s = exporter_open(directory, &q, &exporter, err);
    if (!s) {
        s = quantizer_run(&q, put_export, exporter, err);
        if (s)
            exporter_abort(exporter);
        else
            s = exporter_commit(exporter, err);
    }
    quantizer_close(&q);
    return s;
}
