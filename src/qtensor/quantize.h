/* From float weights to a qtensor: pack, and for codes choose scales and codes by rounding to nearest, exactly as
 * golden/make_goldens.py `quantize` and `notes_u8` define it (float32, rint half to even). */
#ifndef QTENSOR_QUANTIZE_H
#define QTENSOR_QUANTIZE_H
#include "qtensor/qtensor.h"

struct isa;
enum dtype { DT_F32, DT_F16, DT_BF16 };

/* A float matrix where it lies in a checkpoint, W (rows = outputs, cols = inputs): element (o, i) is data[o*row_stride + i*col_stride]
 * (in elements; data may be misaligned for its type). Conv1D, stored (in, out): row_stride 1, col_stride rows. */
struct qsource {
    const char *name; /* of the tensor, for messages */
    enum dtype dtype;
    const void *data;
    int rows, cols;
    size_t row_stride, col_stride;
};

/* How the work is done; no bit of the result depends on it. on_panel: called for each panel once its codes and scales
 * are there, on any thread of the team, one panel at a time each; block [cols][64] holds the panel's weights as
 * floats. */
struct quantize_run {
    int n_threads;
    const struct isa *isa; /* NULL: $GPT2Q_ISA, or the best here */
    void (*on_panel)(void *user, const struct qtensor *w, int panel,
                     const float *block); /* NULL: nobody asks */
    void *user;
};

/* Makes the tensor in memory of the caller, qtensor_memory bytes aligned to 64, which must outlive it: a model holds
 * its tensors side by side, so that huge pages back them all. Errors: a group that does not divide cols
 * (GPT2Q_INVALID_ARGUMENT), a value beyond the format's range or a scale that overflows float16 (GPT2Q_UNSUPPORTED),
 * each naming the tensor. */
gpt2q_status qtensor_quantize_into(const struct qsource *src, struct scheme scheme, void *memory,
                                   const struct quantize_run *run, struct qtensor *out, gpt2q_error *err);
/* The same in memory of its own. */
gpt2q_status qtensor_quantize(const struct qsource *src, struct scheme scheme, const struct quantize_run *run,
                              struct qtensor *out, gpt2q_error *err);
/* A multiple of 64; 0 where the scheme does not fit the shape. */
size_t qtensor_memory(struct scheme scheme, int rows, int cols);
/* The notes' truncating uint8 of a whole tensor of any shape: w' = scale*code + min. */
void notes_parameters(const struct qsource *src, float *scale, float *min);
uint8_t notes_code(float w, float scale, float min);
/* Both, for a tensor that is read already: its n values become w', and codes[i], unless codes is NULL, the code of value i. */
void notes_quantize(const struct qsource *src, float *values, size_t n, uint8_t *codes, float *scale,
                    float *min);
/* Elements (o, i0..i0+n) as floats. */
void qsource_read(const struct qsource *src, int o, int i0, int n, float *out);
#endif
