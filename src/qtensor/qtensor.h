/* The weight of a linear layer, W (rows = outputs, cols = inputs), in any format; and the scheme that says how it is held.
 *
 * Three words, never mixed. FORMAT: how codes lie in memory. SCHEME: format, granularity, and how zero is represented. METHOD
 * (algorithm): how scales and codes were chosen from float weights; only quantize.c knows.
 *
 * Layout. A panel is 64 consecutive outputs, interleaved; the last panel is padded with outputs that are never read.
 *     f32 f16 bf16   [k][64]
 *     i8             [k/4][64][4]    uint8 = code + 128        inputs padded to a multiple of 4 (with code 0, never summed)
 *     i4             [k/8][64][4]    two codes + 8 a byte: inputs k..k+3 in the low nibbles, k+4..k+7 in the high ones
 * Scales (and zero points or minima):
 *     tensor   float [1]        channel  float [panels*64]        input   float [cols]
 *     group    float16 [panels][cols/group][64]
 *
 * What a code q stands for (golden/make_goldens.py gives the arithmetic):
 *     absmax           s*q                       zero = NULL
 *     affine           s*(q - z)                 zero holds z, an integer as a float (float16 for groups)
 *     minmax, notes    s*(q + 2^(bits-1)) + m    zero holds m, the minimum */
#ifndef QUANT_QTENSOR_H
#define QUANT_QTENSOR_H
#include "base/status.h"

#define PANEL 64

enum qformat { QF_F32, QF_F16, QF_BF16, QF_I8, QF_I4, QF_COUNT };
enum qgran { QG_TENSOR, QG_CHANNEL, QG_INPUT, QG_GROUP };
enum qmethod { QM_ABSMAX, QM_MINMAX, QM_AFFINE, QM_NOTES, QM_COUNT };

struct scheme {
    enum qformat format;
    enum qgran gran;     /* of i8 and i4 */
    enum qmethod method; /* of i8 and i4 */
    int group;           /* inputs of a group, a multiple of 8; QG_GROUP only */
};

struct qtensor {
    struct scheme scheme;
    int rows, cols; /* outputs, inputs */
    const uint8_t *codes;
    size_t panel_bytes; /* from one panel to the next */
    const void *scale, *zero;
    size_t bytes; /* payload: codes, scales and zeros with their padding */
    void *owned;  /* freed by qtensor_free; NULL where everything is mapped */
};

static inline int qtensor_panels(const struct qtensor *w) { return (w->rows + PANEL - 1) / PANEL; }
/* Of inputs that share parameters, of one output: 1 but for QG_GROUP. */
static inline int qtensor_groups(const struct qtensor *w)
{
    return w->scheme.gran == QG_GROUP ? w->cols / w->scheme.group : 1;
}
static inline bool scheme_is_integer(struct scheme s) { return s.format == QF_I8 || s.format == QF_I4; }
static inline int scheme_bits(struct scheme s) { return s.format == QF_I4 ? 4 : 8; }
static inline bool scheme_equal(struct scheme a, struct scheme b)
{
    return a.format == b.format && (!scheme_is_integer(a) || (a.gran == b.gran && a.method == b.method &&
                                                              (a.gran != QG_GROUP || a.group == b.group)));
}

/* Parses a SPEC ("i8", "i4:g32:affine", "notes"); an unknown one is GPT2Q_INVALID_ARGUMENT and suggests the nearest right one. */
gpt2q_status scheme_parse(const char *spec, struct scheme *out, gpt2q_error *err);
/* The full form, "i8:channel:absmax"; returns text. */
#define SCHEME_TEXT_MAX 32
const char *scheme_print(struct scheme s, char text[SCHEME_TEXT_MAX]);

void qtensor_free(struct qtensor *w);
/* The code of element (row, k) of i8 and i4, as it is stored: from 0 on. */
int qtensor_stored_code(const struct qtensor *w, int row, int k);

/* Sizes of the parts of a tensor in a scheme, for allocation and for checking files. False where the scheme does not fit the
 * shape (a group that does not divide cols) or a size overflows. */
struct qtensor_layout {
    size_t panel_bytes, codes_bytes, scale_bytes, zero_bytes;
};
bool qtensor_layout(struct scheme s, int rows, int cols, struct qtensor_layout *out);
#endif
