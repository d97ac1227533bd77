/* The weight of a linear layer, W (rows = outputs, cols = inputs), in any format; and the scheme that says how it is held.
 *
 * Words, never mixed. FORMAT: how codes lie in memory (formats.h). GRID: how zero is represented and which codes are used.
 * SCHEME: format, granularity and grid. METHOD: how scales and codes were chosen from float weights; nothing here knows it.
 *
 * Layout. A panel is 64 consecutive outputs, interleaved; the last panel is padded with outputs that are never read.
 *     f32 f16 bf16   [k][64]
 *     i8             [k/4][64][4]    uint8 = code + 128        inputs padded to a multiple of 4 (with code 0, never summed)
 *     i4             [k/8][64][4]    two codes + 8 a byte: inputs k..k+3 in the low nibbles, k+4..k+7 in the high ones
 *     i3             [k/32][3][64][4]    codes + 4: byte i of line 0 has the low two bits of inputs k+i, +4, +8, +12 in its bits
 *                                    0-1, 2-3, 4-5, 6-7, line 1 those of inputs k+16+i ..; bit j of line 2's is the high bit of
 *                                    input k+i+4j
 *     i2             [k/16][64][4]   four codes + 2 a byte, as in line 0 of i3
 *     nf4 mxfp4 nvfp4    as i4, the numbers of levels
 *     fp8            [k][64]         bytes
 * Scales (and zero points or minima):
 *     tensor   float [1]        channel  float [panels*64]        input   float [cols]
 *     group    float16 [panels][cols/group][64], of a scheme that is `full` float32; zero points in their bits, zero_points.h.
 *              mxfp4: e8m0, a byte each. nvfp4: e4m3, a byte each, times the tensor's factor, one float
 *
 * What a code q stands for (golden/make_goldens.py gives the arithmetic):
 *     absmax, signed   s*q                       zero = NULL; signed: s of either sign, code -2^(bits-1) is used
 *     affine           s*(q - z)                 zero holds z, an integer as a float (of groups in bits)
 *     minmax, notes    s*(q + 2^(bits-1)) + m    zero holds m, the minimum
 *     levels           s*(level number q)        zero = NULL; of formats that have levels of their own (levels.h) */
#ifndef QTENSOR_QTENSOR_H
#define QTENSOR_QTENSOR_H
#include "base/status.h"
#include "qtensor/formats.h"

#define PANEL 64

#define FORMAT_ENUM(format, ...) format,
enum qformat { QFORMATS(FORMAT_ENUM) QF_COUNT };
#undef FORMAT_ENUM
enum qgran { QG_TENSOR, QG_CHANNEL, QG_INPUT, QG_GROUP };
/* NOTES is minmax for the course notebook, whose codes are truncated; it covers vectors, too, and takes float activations only.
 * LEVELS is that of formats whose codes are no integers. A SPEC names the others. */
enum qgrid { QGRID_ABSMAX, QGRID_SIGNED, QGRID_MINMAX, QGRID_AFFINE, QGRID_NOTES, QGRID_LEVELS, QGRID_COUNT };
/* All that kernels know of a grid: q alone, q - zero point, or q + minimum. */
enum qzero { QZERO_NONE, QZERO_POINT, QZERO_MINIMUM };

struct format_facts {
    const char *name;  /* in a SPEC */
    const char *dtype; /* of the file's element */
    int bits;          /* of a code or a float */
    int inputs, bytes; /* an output's step: so many inputs in so many bytes */
    bool has_codes;    /* codes with scales; else floats */
    bool has_levels;   /* the codes stand for levels of the format's own, not for integers of a grid */
    bool takes_codes;  /* has products with integer activations */
    bool own_layout;   /* only the format's file knows where a code lies */
    enum qgran gran;   /* of a SPEC that names none */
    int group;
};
extern const struct format_facts format_facts[QF_COUNT];

struct scheme {
    enum qformat format;
    enum qgran gran; /* of formats with codes */
    enum qgrid grid; /* of formats with codes */
    int group;       /* inputs of a group, a multiple of 8 and of a step; QG_GROUP only */
    bool full; /* scales and minima of groups are float32, not float16; QG_GROUP with integer codes only */
};

/* How scales are stored. */
enum qscale { QSCALE_F32, QSCALE_F16, QSCALE_E8M0, QSCALE_E4M3 };

struct qtensor {
    struct scheme scheme;
    int rows, cols; /* outputs, inputs */
    const uint8_t *codes;
    size_t panel_bytes; /* from one panel to the next */
    const void *scale, *zero;
    const float *factor; /* of all scales, scheme_has_factor; else NULL */
    size_t bytes;        /* payload: codes, scales and zeros with their padding */
    void *owned;         /* freed by qtensor_free; NULL where everything is mapped */
};

static inline int qtensor_panels(const struct qtensor *w) { return (w->rows + PANEL - 1) / PANEL; }
/* Of inputs that share parameters, of one output: 1 but for QG_GROUP. */
static inline int qtensor_groups(const struct qtensor *w)
{
    return w->scheme.gran == QG_GROUP ? w->cols / w->scheme.group : 1;
}
static inline bool scheme_has_codes(struct scheme s) { return format_facts[s.format].has_codes; }
/* Whether codes are integers, of a grid that the SPEC names. */
static inline bool scheme_has_grid(struct scheme s)
{
    return scheme_has_codes(s) && !format_facts[s.format].has_levels;
}
static inline int scheme_bits(struct scheme s) { return format_facts[s.format].bits; }
/* Groups are a multiple of so many inputs: of a step, and of 8. */
static inline int scheme_group_unit(enum qformat f)
{
    return format_facts[f].inputs > 8 ? format_facts[f].inputs : 8;
}
/* absmax leaves a code unused, which is too many of less than 16. */
static inline bool scheme_has_absmax(enum qformat f) { return format_facts[f].bits >= 4; }
/* The stored code that stands for code 0: 2^(bits-1). Numbers of levels count from 0. */
static inline int scheme_middle(struct scheme s)
{
    return scheme_has_grid(s) ? 1 << (scheme_bits(s) - 1) : 0;
}
static inline enum qscale scheme_scale(struct scheme s)
{
    if (s.format == QF_MXFP4) return QSCALE_E8M0;
    if (s.format == QF_NVFP4) return QSCALE_E4M3;
    return s.gran == QG_GROUP && !s.full ? QSCALE_F16 : QSCALE_F32;
}
static inline bool scheme_has_factor(struct scheme s) { return s.format == QF_NVFP4; }
/* Whether a SPEC may say how many inputs are a group. */
static inline bool scheme_takes_group(enum qformat f) { return !format_facts[f].has_levels || f == QF_NF4; }
/* Of the integers that integer activations are multiplied with: levels are int8. */
static inline int scheme_product_bits(struct scheme s) { return scheme_has_grid(s) ? scheme_bits(s) : 8; }
static inline enum qzero scheme_zero(struct scheme s)
{
    switch (s.grid) {
    case QGRID_AFFINE: return QZERO_POINT;
    case QGRID_MINMAX:
    case QGRID_NOTES: return QZERO_MINIMUM;
    default: return QZERO_NONE;
    }
}
static inline bool scheme_is_notes(struct scheme s) { return scheme_has_codes(s) && s.grid == QGRID_NOTES; }
static inline bool scheme_equal(struct scheme a, struct scheme b)
{
    return a.format == b.format &&
           (!scheme_has_codes(a) ||
            (a.gran == b.gran && a.grid == b.grid &&
             (a.gran != QG_GROUP || (a.group == b.group && scheme_scale(a) == scheme_scale(b)))));
}

/* Parses a SPEC ("i8", "i4:g32:affine", "i4:g32:minmax:f32", "nf4:g64", "notes"); an unknown one is GPT2Q_INVALID_ARGUMENT and suggests the nearest right one. */
gpt2q_status scheme_parse(const char *spec, struct scheme *out, gpt2q_error *err);
/* The full form, "i8:channel:absmax"; returns text. */
#define SCHEME_TEXT_MAX 32
/* "f32, f16, bf16, i8[:GRAN][:GRID], ..., nf4[:gN], ... or notes": what a SPEC may be, for help. */
#define SCHEME_HELP_MAX 256
const char *scheme_help(char text[SCHEME_HELP_MAX]);
/* The names of granularities (without gN) and grids (without notes), as a SPEC has them. */
extern const char *const gran_names[QG_GROUP];
extern const char *const grid_names[QGRID_COUNT];
const char *scheme_print(struct scheme s, char text[SCHEME_TEXT_MAX]);

void qtensor_free(struct qtensor *w);
/* The code of element (row, k) of a format with codes, as it is stored: from 0 on. */
int qtensor_stored_code(const struct qtensor *w, int row, int k);

/* Sizes of the parts of a tensor in a scheme, for allocation and for checking files. False where the scheme does not fit the
 * shape (a group that does not divide cols) or a size overflows. */
struct qtensor_layout {
    size_t panel_bytes, codes_bytes, scale_bytes, zero_bytes, factor_bytes;
};
bool qtensor_layout(struct scheme s, int rows, int cols, struct qtensor_layout *out);
/* Of all parts. */
static inline size_t qtensor_layout_bytes(const struct qtensor_layout *l)
{
    return l->codes_bytes + l->scale_bytes + l->zero_bytes + l->factor_bytes;
}
#endif
