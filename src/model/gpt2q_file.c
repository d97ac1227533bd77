#include "model/gpt2q_file.h"
#include "qtensor/zero_points.h"
#include <string.h>

static void add_part(struct stored_weight *w, const char *suffix, struct st_declaration d)
{
    char name[WEIGHT_NAME_MAX];
    char *full = w->names[w->n_parts];
    snprintf(full, sizeof w->names[0], "%s%s", weight_print(w->id, name), suffix);
    d.name = full;
    w->parts[w->n_parts++] = d;
}

static struct st_declaration codes_of_matrix(struct scheme s, uint64_t panels, uint64_t cols)
{
    const struct format_facts *format = &format_facts[s.format];
    const uint64_t inputs = (uint64_t)format->inputs, steps = (cols + inputs - 1) / inputs;
    enum st_dtype dtype = ST_F32;
    for (int d = 0; d < ST_DTYPE_COUNT; d++)
        if (!strcmp(format->dtype, st_dtype_name((enum st_dtype)d))) dtype = (enum st_dtype)d;
    struct st_declaration d = {.dtype = dtype, .n_dims = 3, .shape = {panels, steps, PANEL}};
    if (format->bytes < 4 || !format->has_codes) return d; /* an element for each output */
    d.shape[1] *= (uint64_t)format->bytes / 4;             /* lines of 64 outputs by four bytes */
    d.shape[d.n_dims++] = 4;
    return d;
}

static struct st_declaration scales_of_matrix(struct scheme s, uint64_t panels, uint64_t cols)
{
    switch (s.gran) {
    case QG_TENSOR: return (struct st_declaration){.dtype = ST_F32, .n_dims = 1, .shape = {1}};
    case QG_INPUT: return (struct st_declaration){.dtype = ST_F32, .n_dims = 1, .shape = {cols}};
    case QG_CHANNEL: return (struct st_declaration){.dtype = ST_F32, .n_dims = 2, .shape = {panels, PANEL}};
    default:
        return (struct st_declaration){.dtype = scheme_scale(s) == QSCALE_F16   ? ST_F16
                                                : scheme_scale(s) == QSCALE_F32 ? ST_F32
                                                                                : ST_U8,
                                       .n_dims = 3,
                                       .shape = {panels, cols / (uint64_t)s.group, PANEL}};
    }
}

static void describe_matrix(struct stored_weight *w, int rows, int cols)
{
    uint64_t panels = ((uint64_t)rows + PANEL - 1) / PANEL;
    add_part(w, ".codes", codes_of_matrix(w->scheme, panels, (uint64_t)cols));
    if (!scheme_has_codes(w->scheme)) return;
    add_part(w, ".scale", scales_of_matrix(w->scheme, panels, (uint64_t)cols));
    struct st_declaration zero = scales_of_matrix(w->scheme, panels, (uint64_t)cols);
    if (scheme_zero_in_bits(w->scheme)) {
        zero.dtype = ST_U8;
        zero.shape[2] = ZERO_BLOCK(scheme_bits(w->scheme));
    }
    if (scheme_zero(w->scheme) != QZERO_NONE) add_part(w, ".zero", zero);
    if (scheme_has_factor(w->scheme))
        add_part(w, ".factor", (struct st_declaration){.dtype = ST_F32, .n_dims = 1, .shape = {1}});
}

bool stored_weight_is_newer(struct scheme s) { return s.format > QF_I4 || scheme_zero_in_bits(s) || s.full; }

struct st_declaration stored_zero_of_old(const struct stored_weight *w)
{
    struct st_declaration d = w->parts[PART_ZERO];
    d.dtype = ST_F16;
    d.shape[2] = PANEL;
    return d;
}

bool stored_weight_describe(const gpt2q_config *config, struct weight_id id, struct scheme scheme,
                            struct stored_weight *out)
{
    struct qtensor_layout layout;
    int rows, cols;
    *out = (struct stored_weight){.id = id, .scheme = scheme};
    weight_rows_cols(config, id.part, &rows, &cols);
    if (weight_is_matrix(id.part)) {
        if (!qtensor_layout(scheme, rows, cols, &layout)) return false;
        describe_matrix(out, rows, cols);
        return true;
    }
    struct st_declaration whole = {.dtype = ST_F32}, one = {.dtype = ST_F32, .n_dims = 1, .shape = {1}};
    whole.n_dims = weight_shape(config, id.part, whole.shape);
    if (whole.n_dims == 1) whole.shape[1] = 0;
    if (scheme.format == QF_F32) {
        add_part(out, "", whole);
        return true;
    }
    if (!scheme_is_notes(scheme)) return false;
    whole.dtype = ST_U8;
    add_part(out, ".codes", whole);
    add_part(out, ".scale", one);
    add_part(out, ".zero", one);
    return true;
}
