/* A scale of 0 is right if all weights were equal. Then all codes stand for 0 (or for the minimum). Any
 * other code under a scale of 0 means that the file is damaged. */
#include "model/gpt2q_check.h"
#include "kernels/half.h"
#include "qtensor/dequantize.h"
#include "qtensor/levels.h"
#include "qtensor/zero_points.h"
#include <math.h>
#include <string.h>

struct subject {
    const struct qtensor *w;
    const char *file, *name;
    gpt2q_error *err;
};

/* ---- codes ---- */

static gpt2q_status bad_code(const struct subject *s, int row, int k, const char *why)
{
    int code = qtensor_stored_code(s->w, row, k) - scheme_middle(s->w->scheme);
    return error_set(s->err, GPT2Q_FORMAT, "%s: the code of output %d and input %d of %s is %d, %s", s->file,
                     row, k, s->name, code, why);
}

/* The first of n bytes that holds a code stored as 0, in formats of one or two codes a byte; n if there is none. */
static size_t find_lowest(const uint8_t *codes, size_t n, enum qformat format)
{
    if (format_facts[format].bits == 8) {
        const uint8_t *at = memchr(codes, 0, n);
        return at ? (size_t)(at - codes) : n;
    }
    size_t i = 0;
    while (i < n && (codes[i] & 15) && codes[i] >> 4) i++;
    return i;
}

/* absmax uses no code that is stored as 0. This is the way for a layout that only its format knows. */
static gpt2q_status check_each_code(const struct subject *s)
{
    for (int row = 0; row < s->w->rows; row++)
        for (int k = 0; k < s->w->cols; k++)
            if (!qtensor_stored_code(s->w, row, k)) return bad_code(s, row, k, "which absmax does not use");
    return GPT2Q_OK;
}

/* Floats of a byte may be no numbers. */
static gpt2q_status check_floats(const struct subject *s)
{
    for (int row = 0; row < s->w->rows; row++)
        for (int k = 0; k < s->w->cols; k++)
            if (!isfinite(format_level(s->w->scheme.format, qtensor_stored_code(s->w, row, k))))
                return bad_code(s, row, k, "which is no finite number");
    return GPT2Q_OK;
}

gpt2q_status qtensor_check_codes(const struct qtensor *w, const char *file, const char *name,
                                 gpt2q_error *err)
{
    const struct subject s = {w, file, name, err};
    int step = format_facts[w->scheme.format].inputs;
    if (scheme_has_codes(w->scheme) && w->scheme.gran == QG_CHANNEL && !scheme_has_grid(w->scheme))
        return check_floats(&s);
    if (!scheme_has_codes(w->scheme) || w->scheme.grid != QGRID_ABSMAX)
        return GPT2Q_OK; /* every code is valid */
    if (format_facts[w->scheme.format].own_layout) return check_each_code(&s);
    size_t n = (size_t)qtensor_panels(w) * w->panel_bytes;
    for (size_t i = 0; (i += find_lowest(w->codes + i, n - i, w->scheme.format)) < n; i++) {
        size_t within = i % w->panel_bytes;
        int row = (int)(i / w->panel_bytes) * PANEL + (int)(within / 4 % PANEL);
        int k = (int)(within / (PANEL * 4)) * step + (int)(within % 4);
        for (int j = k; row < w->rows && j < w->cols && j < k + step; j += 4)
            if (!qtensor_stored_code(w, row, j)) return bad_code(&s, row, j, "which absmax does not use");
    }
    return GPT2Q_OK;
}

/* ---- scales ---- */

/* The code that stands for weight 0 (or for the minimum) under parameter i, as it is stored. */
static int neutral_code(const struct qtensor *w, size_t i)
{
    const int middle = scheme_middle(w->scheme);
    switch (scheme_zero(w->scheme)) {
    case QZERO_NONE: return middle;
    case QZERO_POINT: return middle + (int)qtensor_parameter(w, w->zero, i);
    default: return 0;
    }
}

static bool stands_for_zero(const struct qtensor *w, int code, int neutral)
{
    return scheme_has_grid(w->scheme) ? code == neutral : format_level(w->scheme.format, code) == 0.0f;
}

/* Checks the codes under parameter i, whose scale is 0. */
static gpt2q_status check_zero_scale(const struct subject *s, size_t i)
{
    const struct qtensor *w = s->w;
    int row0 = 0, row1 = w->rows, k0 = 0, k1 = w->cols, neutral = neutral_code(w, i);
    if (w->scheme.gran == QG_INPUT) {
        k0 = (int)i, k1 = k0 + 1;
    } else if (w->scheme.gran == QG_CHANNEL) {
        row0 = (int)i, row1 = i < (size_t)w->rows ? row0 + 1 : row0;
    } else if (w->scheme.gran == QG_GROUP) {
        size_t groups = (size_t)(w->cols / w->scheme.group), block = i / PANEL;
        row0 = (int)(block / groups) * PANEL + (int)(i % PANEL), row1 = row0 < w->rows ? row0 + 1 : row0;
        k0 = (int)(block % groups) * w->scheme.group, k1 = k0 + w->scheme.group;
    }
    for (int row = row0; row < row1; row++)
        for (int k = k0; k < k1; k++)
            if (!stands_for_zero(w, qtensor_stored_code(w, row, k), neutral))
                return bad_code(s, row, k, "but its scale is 0");
    return GPT2Q_OK;
}

static gpt2q_status check_scale(const struct subject *s, size_t i)
{
    float scale = qtensor_parameter(s->w, s->w->scale, i);
    if (scale == 0.0f && !signbit(scale)) return check_zero_scale(s, i);
    const bool either_sign = s->w->scheme.grid == QGRID_SIGNED, levels = !scheme_has_grid(s->w->scheme);
    const float most = levels ? scale * format_largest_level(s->w->scheme.format) : scale;
    if (isfinite(most) && (scale > 0.0f || (either_sign && scale < 0.0f))) return GPT2Q_OK;
    return error_set(s->err, GPT2Q_FORMAT, "%s: scale %zu of %s is %g, expected a finite number%s", s->file,
                     i, s->name, (double)scale, either_sign ? " that is not -0" : " >= 0");
}

gpt2q_status qtensor_check_zero(const struct qtensor *w, float zero, size_t i, const char *file,
                                const char *name, gpt2q_error *err)
{
    const float half = (float)scheme_middle(w->scheme);
    bool affine = scheme_zero(w->scheme) == QZERO_POINT;
    if (isfinite(zero) && (!affine || (zero == truncf(zero) && zero >= -half && zero < half)))
        return GPT2Q_OK;
    return error_set(err, GPT2Q_FORMAT, "%s: %s %zu of %s is %g, expected %s", file,
                     affine ? "zero point" : "minimum", i, name, (double)zero,
                     affine ? "a code" : "a finite number");
}

/* Whether all n scales are above 0, and finite with the largest level. Read as unsigned integers, such floats are
 * 1 to the largest of them. */
static bool all_positive(const struct qtensor *w, size_t n)
{
    unsigned bad = 0;
    if (scheme_scale(w->scheme) >= QSCALE_E8M0) {
        const bool exponents = scheme_scale(w->scheme) == QSCALE_E8M0; /* 252: 6 * 2^126 is no float */
        const unsigned least = exponents ? 0 : 1, most = exponents ? 252 : 0x7E;
        const uint8_t *u = w->scale;
        for (size_t i = 0; i < n; i++) bad |= u[i] - least > most - least;
        bad |= w->factor && !(*w->factor > 0.0f && *w->factor * 448.0f * 6.0f < INFINITY);
    } else if (scheme_scale(w->scheme) == QSCALE_F16) {
        const uint16_t *u = w->scale;
        for (size_t i = 0; i < n; i++) bad |= (uint16_t)(u[i] - 1u) >= 0x7BFFu;
    } else {
        const uint8_t *p = w->scale;
        const float largest = 0x1.fffffep127f, level = format_largest_level(w->scheme.format);
        const uint32_t most = float_bits(scheme_has_grid(w->scheme) ? largest : largest / level);
        for (size_t i = 0; i < n; i++) {
            uint32_t u;
            memcpy(&u, p + i * sizeof u, sizeof u);
            bad |= u - 1u >= most;
        }
    }
    return !bad;
}

gpt2q_status qtensor_check_scales(const struct qtensor *w, const char *file, const char *name,
                                  gpt2q_error *err)
{
    const struct subject s = {w, file, name, err};
    if (!scheme_has_codes(w->scheme)) return GPT2Q_OK;
    size_t n = qtensor_parameters(w);
    gpt2q_status status = GPT2Q_OK;
    const bool every = !w->zero || scheme_zero_in_bits(w->scheme); /* value of the bits is a zero point */
    for (size_t i = 0; !every && i < n && !status; i++)
        status = qtensor_check_zero(w, qtensor_parameter(w, w->zero, i), i, file, name, err);
    if (status || all_positive(w, n)) return status;
    for (size_t i = 0; i < n && !status; i++) status = check_scale(&s, i);
    return status;
}
