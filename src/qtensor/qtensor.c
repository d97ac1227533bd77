/* Sizes of a quantized tensor's parts. Owns no arithmetic on weights.
 *
 * Refused: shapes whose sizes overflow, a group that does not divide the inputs, and integer schemes over
 * more than 65,536 inputs, so that an int32 sum of 255 * 128 per input is always exact. */
#include "base/checked.h"
#include "base/memory.h"
#include "qtensor/zero_points.h"
#include <limits.h>

#define INTEGER_COLS_MAX 65536

void qtensor_free(struct qtensor *w)
{
    if (!w) return;
    mem_free(w->owned);
    *w = (struct qtensor){0};
}

static bool scales_layout(struct scheme s, size_t panels, int cols, size_t *bytes)
{
    const size_t groups = s.gran == QG_GROUP ? (size_t)(cols / s.group) : 1,
                 each = scheme_scale(s) >= QSCALE_E8M0  ? 1
                        : scheme_scale(s) == QSCALE_F16 ? sizeof(uint16_t)
                                                        : sizeof(float);
    switch (s.gran) {
    case QG_TENSOR: *bytes = sizeof(float); return true;
    case QG_INPUT: *bytes = (size_t)cols * sizeof(float); return true;
    case QG_CHANNEL: return checked_mul(panels, PANEL * sizeof(float), bytes);
    default: return checked_mul(panels, groups * PANEL * each, bytes);
    }
}

bool qtensor_layout(struct scheme s, int rows, int cols, struct qtensor_layout *out)
{
    const struct format_facts *format = &format_facts[s.format];
    *out = (struct qtensor_layout){0};
    if (rows <= 0 || cols <= 0 || rows > INT_MAX - PANEL) return false;
    size_t panels = ((size_t)rows + PANEL - 1) / PANEL, k = (size_t)cols;
    if (!scheme_has_codes(s)) {
        if (!checked_mul(k, PANEL * (size_t)format->bytes, &out->panel_bytes)) return false;
        return checked_mul(panels, out->panel_bytes, &out->codes_bytes);
    }
    if (cols > INTEGER_COLS_MAX) return false;
    if (s.gran == QG_GROUP &&
        (s.group <= 0 || s.group % scheme_group_unit(s.format) != 0 || cols % s.group != 0))
        return false;
    if (s.grid == QGRID_ABSMAX && !scheme_has_absmax(s.format)) return false;
    if (format->has_levels &&
        (s.gran != format->gran || (s.group != format->group && !scheme_takes_group(s.format))))
        return false;
    out->panel_bytes =
        round_up(k, (size_t)format->inputs) / (size_t)format->inputs * (size_t)format->bytes * PANEL;
    if (!checked_mul(panels, out->panel_bytes, &out->codes_bytes)) return false;
    if (!scales_layout(s, panels, cols, &out->scale_bytes)) return false;
    out->factor_bytes = scheme_has_factor(s) ? sizeof(float) : 0;
    out->zero_bytes = scheme_zero(s) == QZERO_NONE ? 0 : out->scale_bytes;
    if (scheme_zero_in_bits(s))
        out->zero_bytes = panels * (size_t)(cols / s.group) * ZERO_BLOCK(format->bits);
    return true;
}
