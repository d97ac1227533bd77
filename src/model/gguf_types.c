/* One row per type, and the layouts of blocks of 32. Blocks of 256 are in gguf_superblocks.c. */
#include "model/gguf_types.h"
#include "model/gguf_superblocks.h"
#include <assert.h>
#include <math.h>

enum { ID_Q8_0 = 8, ID_Q2_K = 10, ID_Q3_K = 11, ID_Q6_K = 14, ID_MXFP4 = 39 };
#define MXFP4_EXPONENT_MOST 252 /* beyond this, 6 times the scale is no float */

/* ---- blocks of 32: low nibbles are values 0..15, high ones 16..31 ---- */

static void nibbles(const uint8_t *q, int8_t *code, const int8_t *book, int shift)
{
    for (int i = 0; i < 16; i++) {
        const int low = q[i] & 15, high = q[i] >> 4;
        code[i] = (int8_t)(book ? book[low] : low - shift);
        code[i + 16] = (int8_t)(book ? book[high] : high - shift);
    }
}

static void codes_q8_0(const uint8_t *b, struct gguf_codes *out)
{
    out->scale[0] = half_at(b);
    memcpy(out->code, b + 2, GGUF_GROUP);
}

static void codes_q4_0(const uint8_t *b, struct gguf_codes *out)
{
    out->scale[0] = half_at(b);
    nibbles(b + 2, out->code, NULL, 8);
}

static void codes_q4_1(const uint8_t *b, struct gguf_codes *out)
{
    out->scale[0] = half_at(b), out->min[0] = half_at(b + 2);
    nibbles(b + 4, out->code, NULL, 0);
}

/* The fifth bits of 32 values. */
static void fifth_bits(const uint8_t *p, int8_t *code, int shift)
{
    for (int i = 0; i < GGUF_GROUP; i++) code[i] = (int8_t)((code[i] | (p[i / 8] >> i % 8 & 1) << 4) - shift);
}

static void codes_q5_0(const uint8_t *b, struct gguf_codes *out)
{
    out->scale[0] = half_at(b);
    nibbles(b + 6, out->code, NULL, 0);
    fifth_bits(b + 2, out->code, 16);
}

static void codes_q5_1(const uint8_t *b, struct gguf_codes *out)
{
    out->scale[0] = half_at(b), out->min[0] = half_at(b + 2);
    nibbles(b + 8, out->code, NULL, 0);
    fifth_bits(b + 4, out->code, 0);
}

static void codes_iq4_nl(const uint8_t *b, struct gguf_codes *out)
{
    out->scale[0] = half_at(b);
    nibbles(b + 2, out->code, gguf_iq4_values, 0);
}

/* An exponent without a sign: 2^(e-128), subnormal below e = 2. */
static void codes_mxfp4(const uint8_t *b, struct gguf_codes *out)
{
    static const int8_t values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const uint32_t e = b[0];
    out->scale[0] = float_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
    nibbles(b + 1, out->code, values, 0);
}

/* Each product and each sum is rounded. */
void gguf_decode(const struct gguf_type *type, const uint8_t *block, float *values)
{
    struct gguf_codes c;
    type->codes(block, &c);
    for (int i = 0; i < type->values; i++) values[i] = c.scale[i / type->group] * (float)c.code[i];
    for (int i = 0; type->has_min && i < type->values; i++) values[i] = values[i] + c.min[i / type->group];
}

/* ---- the table ---- */

static const struct gguf_type types[] = {
    {0, "F32", 1, 4, 1, ST_F32, NULL, QF_F32, false},
    {1, "F16", 1, 2, 1, ST_F16, NULL, QF_F16, false},
    {30, "BF16", 1, 2, 1, ST_BF16, NULL, QF_BF16, false},
    {ID_Q8_0, "Q8_0", 32, 34, 32, ST_F32, codes_q8_0, QF_I8, false},
    {2, "Q4_0", 32, 18, 32, ST_F32, codes_q4_0, QF_I4, false},
    {3, "Q4_1", 32, 20, 32, ST_F32, codes_q4_1, QF_I4, true},
    {6, "Q5_0", 32, 22, 32, ST_F32, codes_q5_0, QF_I8, false},
    {7, "Q5_1", 32, 24, 32, ST_F32, codes_q5_1, QF_I8, true},
    {20, "IQ4_NL", 32, 18, 32, ST_F32, codes_iq4_nl, QF_I8, false},
    {ID_MXFP4, "MXFP4", 32, 17, 32, ST_F32, codes_mxfp4, QF_MXFP4, false},
    {10, "Q2_K", 256, 84, 16, ST_F32, gguf_codes_q2_k, QF_I2, true},
    {11, "Q3_K", 256, 110, 16, ST_F32, gguf_codes_q3_k, QF_I4, false},
    {12, "Q4_K", 256, 144, 32, ST_F32, gguf_codes_q4_k, QF_I4, true},
    {13, "Q5_K", 256, 176, 32, ST_F32, gguf_codes_q5_k, QF_I8, true},
    {14, "Q6_K", 256, 210, 16, ST_F32, gguf_codes_q6_k, QF_I8, false},
    {23, "IQ4_XS", 256, 136, 32, ST_F32, gguf_codes_iq4_xs, QF_I8, false},
};

const struct gguf_type *gguf_type_find(uint32_t id)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].id == id) return &types[i];
    return NULL;
}

const char *gguf_type_print(uint32_t id, char text[24])
{
    static const struct {
        uint32_t id;
        const char *name;
    } others[] = {{4, "Q4_2"},    {5, "Q4_3"},     {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"},
                  {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},
                  {24, "I8"},     {25, "I16"},     {26, "I32"},   {27, "I64"},   {28, "F64"},
                  {29, "IQ1_M"},  {34, "TQ1_0"},   {35, "TQ2_0"}, {40, "NVFP4"}, {41, "Q1_0"}};
    const struct gguf_type *known = gguf_type_find(id);
    const char *name = known ? known->name : NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].id == id) name = others[i].name;
    if (name)
        snprintf(text, 24, "%s", name);
    else
        snprintf(text, 24, "type %u", (unsigned)id);
    return text;
}

/* ---- exact schemes ---- */

/* Whether one of 32 bytes is 0x80, code -128. It looks at eight bytes at once. 0x80 makes a byte of z 0, and a 0 borrows. */
static bool has_least_code(const uint8_t *code)
{
    uint64_t any = 0;
    for (int i = 0; i < GGUF_GROUP; i += 8) {
        uint64_t z;
        memcpy(&z, code + i, sizeof z);
        z ^= 0x8080808080808080u;
        any |= (z - 0x0101010101010101u) & ~z;
    }
    return any & 0x8080808080808080u;
}

static bool is_all_zero(const int8_t *code, int n)
{
    for (int i = 0; i < n; i++)
        if (code[i]) return false;
    return true;
}

static bool half_is_finite(uint16_t half) { return (half & 0x7C00u) != 0x7C00u; }

/* All scales but those of MXFP4 are float16 numbers, and are compared as such. */
static struct gguf_findings look_at_halves(const struct gguf_type *type, const uint8_t *b, size_t n)
{
    struct gguf_findings f = {0};
    for (size_t i = 0; i < n; i++, b += type->bytes) {
        const uint16_t scale = (uint16_t)(b[0] | b[1] << 8);
        f.floats |= !half_is_finite(scale);
        if (type->has_min) f.floats |= (scale > 0x8000u) || !half_is_finite((uint16_t)(b[2] | b[3] << 8));
        if (type->id == ID_Q8_0) f.least_code |= (scale & 0x7FFFu) && has_least_code(b + 2);
    }
    return f;
}

/* Where a block of 256 has its float16 scale; that of minima, where it has them, comes next. */
static int scale_of_superblock(const struct gguf_type *type)
{
    switch (type->id) {
    case ID_Q2_K: return 80;
    case ID_Q3_K: return 108;
    case ID_Q6_K: return 208;
    default: return 0;
    }
}

/* A group's scale is below 0 only where the block's is. */
static struct gguf_findings look_at_superblocks(const struct gguf_type *type, const uint8_t *b, size_t n)
{
    struct gguf_findings f = {0};
    b += scale_of_superblock(type);
    for (size_t i = 0; i < n; i++, b += type->bytes) {
        const uint16_t scale = (uint16_t)(b[0] | b[1] << 8);
        f.floats |= !half_is_finite(scale);
        if (type->has_min) f.floats |= (scale > 0x8000u) || !half_is_finite((uint16_t)(b[2] | b[3] << 8));
    }
    return f;
}

struct gguf_findings gguf_look_at(const struct gguf_type *type, const uint8_t *blocks, size_t n)
{
    struct gguf_findings f = {0};
    if (type->values > GGUF_GROUP) return look_at_superblocks(type, blocks, n);
    if (type->id != ID_MXFP4) return look_at_halves(type, blocks, n);
    for (size_t i = 0; i < n; i++) f.floats |= blocks[i * (size_t)type->bytes] > MXFP4_EXPONENT_MOST;
    return f;
}

struct scheme gguf_scheme_of(const struct gguf_type *type, struct gguf_findings f, int cols)
{
    const struct scheme floats = {.format = type->codes ? QF_F32 : type->format};
    const bool super = type->values > GGUF_GROUP;
    struct scheme s = {.format = type->format, .gran = QG_GROUP, .group = type->group, .full = super};
    struct qtensor_layout layout;
    s.grid = type->id == ID_MXFP4 ? QGRID_LEVELS : QGRID_SIGNED;
    if (!type->codes || !qtensor_layout(s, 1, cols, &layout)) return floats;
    if (f.floats) return floats; /* decoding reports what is not finite */
    if (type->id == ID_MXFP4) return s;
    /* absmax has no code -128, and negated it would be 128, which is no code; groups of blocks of 256 have scales of both signs */
    s.grid = type->has_min                                    ? QGRID_MINMAX
             : super || type->format == QF_I4 || f.least_code ? QGRID_SIGNED
                                                              : QGRID_ABSMAX;
    return s;
}

struct scheme gguf_exact_scheme(const struct gguf_type *type, const uint8_t *blocks, size_t n, int cols)
{
    const struct gguf_findings f =
        type->codes ? gguf_look_at(type, blocks, n / (size_t)type->values) : (struct gguf_findings){0};
    return gguf_scheme_of(type, f, cols);
}

void gguf_store_block(const struct gguf_type *type, struct scheme scheme, const uint8_t *block,
                      struct gguf_stored *out)
{
    struct gguf_codes c;
    const int middle = scheme.grid == QGRID_MINMAX ? 0 : scheme_middle(scheme);
    type->codes(block, &c);
    for (int g = 0; g < type->values / type->group; g++) {
        const int8_t *code = c.code + g * type->group;
        uint8_t *to = out->code + g * type->group;
        const float scale = c.scale[g];
        const bool nothing = scale == 0.0f || is_all_zero(code, type->group);
        const bool opposite = scheme.grid == QGRID_ABSMAX && scale < 0.0f;
        out->scale[g] = nothing ? 0.0f : opposite ? -scale : scale;
        out->zero[g] = type->has_min ? c.min[g] : 0.0f;
        for (int i = 0; i < type->group; i++)
            to[i] = (uint8_t)(middle + (nothing ? 0 : opposite ? -code[i] : code[i]));
    }
}
