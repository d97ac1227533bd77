/* From float weights to a qtensor: packs, and for codes chooses scales and codes by rounding to nearest,
 * exactly as `quantize` and `notes_u8` of golden/make_goldens.py define it (float32, rint half to even). */
#ifndef QTENSOR_QUANTIZE_H
#define QTENSOR_QUANTIZE_H
#include "qtensor/qtensor.h"

struct isa;
enum dtype { DT_F32, DT_F16, DT_BF16 };

/* A float matrix where it lies in a checkpoint, W (rows = outputs, cols = inputs). Element (o, i) is
 * data[o*row_stride + i*col_stride] (in elements; data may be misaligned for its type). For a Conv1D
 * matrix, stored (in, out), row_stride is 1 and col_stride is rows. */
struct qsource {
    const char *name; /* of the tensor, for messages */
    enum dtype dtype;
    const void *data;
    int rows, cols;
    size_t row_stride, col_stride;
};

/* How the work is done; no bit of the result depends on it. on_panel is called for each panel once its
 * codes and scales are there, on any thread of the team. block [cols][64] holds the panel's weights as
 * floats. */
struct quantize_run {
    int n_threads;
    const struct isa *isa; /* NULL: $GPT2Q_ISA, or the best here */
    void (*on_panel)(void *user, const struct qtensor *w, int panel,
                     const float *block); /* NULL: not wanted */
    void *user;
};

/* Makes the tensor in the caller's memory, qtensor_memory bytes aligned to 64, which must outlive it. So a
 * model can hold its tensors side by side, and huge pages back them all. Errors name the tensor: a group
 * that does not divide cols (GPT2Q_INVALID_ARGUMENT); a value beyond the format's range, or a scale that
 * overflows float16 (GPT2Q_UNSUPPORTED). */
gpt2q_status qtensor_quantize_into(const struct qsource *src, struct scheme scheme, void *memory,
                                   const struct quantize_run *run, struct qtensor *out, gpt2q_error *err);
/* The same in memory of the tensor's own. */
gpt2q_status qtensor_quantize(const struct qsource *src, struct scheme scheme, const struct quantize_run *run,
                              struct qtensor *out, gpt2q_error *err);
/* The bytes it takes, a multiple of 64; 0 if the scheme does not fit the shape. */
size_t qtensor_memory(struct scheme scheme, int rows, int cols);
/* The notes' truncating uint8 of a whole tensor of any shape: w' = scale*code + min. */
void notes_parameters(const struct qsource *src, float *scale, float *min);
uint8_t notes_code(float w, float scale, float min);
/* Both, for a tensor that is read already: its n values become w', and codes[i] becomes the code of value
 * i unless codes is NULL. */
void notes_quantize(const struct qsource *src, float *values, size_t n, uint8_t *codes, float *scale,
                    float *min);
/* Reads elements (o, i0..i0+n) as floats. */
void qsource_read(const struct qsource *src, int o, int i0, int n, float *out);
#endif
