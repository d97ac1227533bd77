#include "qtensor/from_codes.h"
#include "base/memory.h"
#include "kernels/half.h"
#include "qtensor/isa.h"
#include "qtensor/zero_points.h"
#include <math.h>
#include <string.h>

static size_t aligned(size_t bytes) { return (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN; }

/* Stores parameter number `at` in memory that is all 0 so far. */
static void store(const struct qtensor *w, void *where, size_t at, float value)
{
    if (where == w->zero && scheme_zero_in_bits(w->scheme)) {
        const int bits = scheme_bits(w->scheme);
        zero_point_put((uint8_t *)where + at / PANEL * ZERO_BLOCK(bits), (int)(at % PANEL), bits,
                       (int)value + scheme_middle(w->scheme));
        return;
    }
    if (scheme_scale(w->scheme) == QSCALE_F16)
        ((uint16_t *)where)[at] = f16_from_float(value);
    else
        ((float *)where)[at] = value;
}

static void store_codes(const struct coded_matrix *m, const struct qtensor *w, uint8_t *codes, float *block,
                        const struct coding *coding)
{
    const struct pack_ops *ops = isa_at(0)->pack;
    for (int p = 0; p < qtensor_panels(w); p++) {
        for (int o = 0; o < PANEL; o++) {
            const int row = p * PANEL + o < m->rows ? p * PANEL + o : p * PANEL;
            for (int k = 0; k < m->cols; k++)
                block[(size_t)k * PANEL + (size_t)o] =
                    (float)m->codes[(size_t)row * (size_t)m->cols + (size_t)k];
        }
        ops->encode[w->scheme.format](block, PANEL, m->cols, coding, codes + (size_t)p * w->panel_bytes);
    }
}

/* Outputs beyond the last repeat the panel's first one. */
static bool store_parameters(const struct coded_matrix *m, const struct qtensor *w, void *scale, void *zero)
{
    const int groups = qtensor_groups(w);
    const float middle = (float)scheme_middle(w->scheme);
    const bool minimum = scheme_zero(w->scheme) == QZERO_MINIMUM;
    for (int p = 0; p < qtensor_panels(w); p++)
        for (int g = 0; g < groups; g++)
            for (int o = 0; o < PANEL; o++) {
                const int row = p * PANEL + o < m->rows ? p * PANEL + o : p * PANEL;
                const size_t from = (size_t)row * (size_t)groups + (size_t)g;
                const size_t at = ((size_t)p * (size_t)groups + (size_t)g) * PANEL + (size_t)o;
                if (!isfinite(m->scale[from])) return false;
                store(w, scale, at, m->scale[from]);
                if (zero)
                    store(w, zero, at, minimum ? -m->zero[from] * m->scale[from] : m->zero[from] - middle);
            }
    return true;
}

gpt2q_status qtensor_from_codes(const struct coded_matrix *m, struct scheme scheme, struct qtensor *out,
                                gpt2q_error *err)
{
    struct qtensor_layout l;
    char text[SCHEME_TEXT_MAX];
    *out = (struct qtensor){0};
    if (!qtensor_layout(scheme, m->rows, m->cols, &l))
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: %s does not fit its %d outputs by %d inputs",
                         m->name, scheme_print(scheme, text), m->rows, m->cols);
    const size_t scale = aligned(l.codes_bytes), zero = aligned(scale + l.scale_bytes);
    uint8_t *memory = mem_zalloc(zero + l.zero_bytes);
    float *block = mem_array((size_t)m->cols * PANEL, sizeof *block);
    struct coding coding = {.most = (float)((1 << scheme_bits(scheme)) - 1)};
    for (int o = 0; o < PANEL; o++) coding.divisor[o] = 1.0f;
    gpt2q_status s = memory && block ? GPT2Q_OK : error_memory(err, m->name, zero + l.zero_bytes);
    if (!s) {
        *out = (struct qtensor){.scheme = scheme,
                                .rows = m->rows,
                                .cols = m->cols,
                                .codes = memory,
                                .panel_bytes = l.panel_bytes,
                                .scale = memory + scale,
                                .zero = l.zero_bytes ? memory + zero : NULL,
                                .bytes = l.codes_bytes + l.scale_bytes + l.zero_bytes,
                                .owned = memory};
        store_codes(m, out, memory, block, &coding);
        if (!store_parameters(m, out, memory + scale, l.zero_bytes ? memory + zero : NULL))
            s = error_set(err, GPT2Q_UNSUPPORTED, "%s: a scale of %s is not finite", m->name,
                          scheme_print(scheme, text));
    }
    mem_free(block);
    if (s && memory) {
        mem_free(memory);
        *out = (struct qtensor){0};
    }
    return s;
}
