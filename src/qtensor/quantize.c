/* From float weights to a qtensor, in parallel over panels: reads a panel as floats, takes ranges, chooses
 * scales, encodes. grid.c has the grids, pack.isa.c the loops over weights.
 *
 * If panels share scales (tensor, input), one phase goes over all weights first, and another joins the
 * partial ranges. Minima and maxima have no order, so codes do not depend on the number of threads.
 *
 * Refused, naming the tensor: weights that are not finite in integer schemes; scales or minima that
 * overflow their type; weights beyond the range of f16 or bf16; shapes that do not fit the scheme. */
#include "qtensor/quantize.h"
#include "base/checked.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/half.h"
#include "qtensor/isa.h"
#include "qtensor/lay_out.h"
#include "qtensor/levels.h"
#include "qtensor/zero_points.h"
#include <math.h>
#include <string.h>

enum failure { FAILURE_NONE, FAILURE_NOT_FINITE, FAILURE_SCALE, FAILURE_RANGE };

/* What a thread owns. Packers are allocated before the threads start. */
struct packer {
    float *block;               /* [cols][64] */
    float *input_lo, *input_hi; /* [cols], QG_INPUT */
    float lo, hi;               /* QG_TENSOR */
    enum failure failure;
};

struct packing {
    const struct qsource *src;
    const struct quantize_run *run;
    const struct pack_ops *ops;
    struct scheme scheme;
    int cols, panels;
    struct qtensor_layout layout;
    uint8_t *codes;
    void *scale, *zero;
    float *factor;           /* of all scales; NULL: the scheme has none */
    const struct qtensor *w; /* the result, for run->on_panel */
    struct packer *packers;
    struct coding coding; /* for all panels; panels with scales of their own fill in those */
    float *input_divisor, *input_shift, *input_offset; /* [cols], QG_INPUT */
};

/* ---- parameters ---- */

static struct coding coding_create(struct scheme s)
{
    const struct grid *m = grid_of(s.grid);
    return (struct coding){.least = m->least,
                           .most = scheme_has_codes(s) ? (float)((1 << scheme_bits(s)) - 1) : 0.0f,
                           .truncate = m->truncate};
}

static struct choice choose(const struct packing *job, float lo, float hi, struct packer *self)
{
    bool half = scheme_scale(job->scheme) == QSCALE_F16;
    struct choice c = scheme_has_grid(job->scheme)
                          ? grid_of(job->scheme.grid)->choose(lo, hi, scheme_bits(job->scheme), half)
                          : level_choose(job->scheme, job->factor ? *job->factor : 1.0f, lo, hi);
    if (!choice_is_finite(c) && !self->failure) self->failure = FAILURE_SCALE;
    return c;
}

/* Stores parameter number i as float, or for groups as float16 or a byte. Zero points of groups go into their bits, from
 * the panel's first output on. */
static void store_parameters(const struct packing *job, size_t i, struct choice c)
{
    if (scheme_scale(job->scheme) >= QSCALE_E8M0) {
        ((uint8_t *)job->scale)[i] = c.byte;
        return;
    }
    const bool half = scheme_scale(job->scheme) == QSCALE_F16;
    if (half)
        ((uint16_t *)job->scale)[i] = f16_from_float(c.scale);
    else
        ((float *)job->scale)[i] = c.scale;
    if (scheme_zero_in_bits(job->scheme)) {
        const int bits = scheme_bits(job->scheme);
        uint8_t *block = (uint8_t *)job->zero + i / PANEL * ZERO_BLOCK(bits);
        if (i % PANEL == 0) memset(block, 0, ZERO_BLOCK(bits));
        if (choice_is_finite(c))
            zero_point_put(block, (int)(i % PANEL), bits, (int)c.zero + scheme_middle(job->scheme));
    } else if (job->zero && half)
        ((uint16_t *)job->zero)[i] = f16_from_float(c.zero);
    else if (job->zero)
        ((float *)job->zero)[i] = c.zero;
}

/* ---- ranges over all panels ---- */

static struct range range_empty(void)
{
    struct range r;
    for (int o = 0; o < PANEL; o++) r.lo[o] = INFINITY, r.hi[o] = -INFINITY;
    return r;
}

static void tensor_range(const struct packing *job, struct packer *self, int64_t p0, int64_t p1)
{
    struct range r = range_empty();
    for (int64_t p = p0; p < p1; p++) {
        job->ops->read(job->src, (int)p, 0, job->cols, self->block);
        if (!job->ops->range(self->block, PANEL, job->cols, &r)) self->failure = FAILURE_NOT_FINITE;
    }
    self->lo = INFINITY, self->hi = -INFINITY;
    for (int o = 0; o < PANEL; o++) {
        self->lo = r.lo[o] < self->lo ? r.lo[o] : self->lo;
        self->hi = r.hi[o] > self->hi ? r.hi[o] : self->hi;
    }
}

/* Chooses a tensor's one scale, or the factor of all its scales, before any panel is encoded or measured. */
static void tensor_choose(struct packing *job, int n_threads)
{
    struct coding *c = &job->coding;
    float lo = INFINITY, hi = -INFINITY;
    for (int t = 0; t < n_threads; t++) {
        lo = job->packers[t].lo < lo ? job->packers[t].lo : lo;
        hi = job->packers[t].hi > hi ? job->packers[t].hi : hi;
    }
    if (job->factor) {
        *job->factor = level_factor(lo, hi);
        return;
    }
    struct choice chosen = choose(job, lo, hi, &job->packers[0]);
    store_parameters(job, 0, chosen);
    for (int o = 0; o < PANEL; o++) {
        c->divisor[o] = chosen.divisor;
        c->shift[o] = chosen.shift;
        c->offset[o] = chosen.offset;
    }
}

static void input_range(const struct packing *job, struct packer *self, int64_t p0, int64_t p1)
{
    for (int k = 0; k < job->cols; k++) self->input_lo[k] = INFINITY, self->input_hi[k] = -INFINITY;
    for (int64_t p = p0; p < p1; p++) {
        job->ops->read(job->src, (int)p, 0, job->cols, self->block);
        if (!job->ops->input_range(self->block, PANEL, job->cols, self->input_lo, self->input_hi))
            self->failure = FAILURE_NOT_FINITE;
    }
}

static void input_choose(const struct packing *job, struct packer *self, int thread, int n_threads)
{
    int64_t k0, k1;
    threads_split(job->cols, thread, n_threads, &k0, &k1);
    for (int64_t k = k0; k < k1; k++) {
        float lo = INFINITY, hi = -INFINITY;
        for (int t = 0; t < n_threads; t++) {
            lo = job->packers[t].input_lo[k] < lo ? job->packers[t].input_lo[k] : lo;
            hi = job->packers[t].input_hi[k] > hi ? job->packers[t].input_hi[k] : hi;
        }
        struct choice c = choose(job, lo, hi, self);
        store_parameters(job, (size_t)k, c);
        job->input_divisor[k] = c.divisor;
        job->input_shift[k] = c.shift;
        job->input_offset[k] = c.offset;
    }
}

/* ---- one panel ---- */

static void encode(const struct packing *job, const struct packer *self, int k0, int k,
                   const struct coding *c, uint8_t *codes)
{
    const float *block = self->block + (size_t)k0 * PANEL;
    const struct format_facts *format = &format_facts[job->scheme.format];
    codes += (size_t)(k0 / format->inputs) * (PANEL * (size_t)format->bytes);
    job->ops->encode[job->scheme.format](block, PANEL, k, c, codes);
}

/* Encodes inputs [k0, k0 + k) of a panel with scales of their own. Their parameters begin at number
 * `first`. */
static void encode_own(const struct packing *job, struct packer *self, int k0, int k, size_t first,
                       uint8_t *codes, struct coding *c)
{
    const float *block = self->block + (size_t)k0 * PANEL;
    struct range r = range_empty();
    if (!job->ops->range(block, PANEL, k, &r)) self->failure = FAILURE_NOT_FINITE;
    for (int o = 0; o < PANEL; o++) {
        struct choice chosen = choose(job, r.lo[o], r.hi[o], self);
        store_parameters(job, first + (size_t)o, chosen);
        c->divisor[o] = chosen.divisor;
        c->shift[o] = chosen.shift;
        c->offset[o] = chosen.offset;
    }
    encode(job, self, k0, k, c, codes);
}

static const float *integer_panel(const struct packing *job, struct packer *self, int panel, struct coding *c)
{
    uint8_t *codes = job->codes + (size_t)panel * job->layout.panel_bytes;
    job->ops->read(job->src, panel, 0, job->cols, self->block);
    switch (job->scheme.gran) {
    case QG_TENSOR:
    case QG_INPUT: encode(job, self, 0, job->cols, c, codes); break;
    case QG_CHANNEL: encode_own(job, self, 0, job->cols, (size_t)panel * PANEL, codes, c); break;
    case QG_GROUP: {
        int groups = job->cols / job->scheme.group;
        for (int g = 0; g < groups && !self->failure; g++)
            encode_own(job, self, g * job->scheme.group, job->scheme.group,
                       ((size_t)panel * (size_t)groups + (size_t)g) * PANEL, codes, c);
        break;
    }
    }
    return self->block;
}

/* The largest magnitude that is allowed: f16 takes nothing beyond its largest number. */
static float largest_of(enum qformat format) { return format == QF_F16 ? 65504.0f : 0x1.feffffp127f; }

/* Returns the panel's weights as floats. */
static const float *float_panel(const struct packing *job, struct packer *self, int panel)
{
    uint8_t *out = job->codes + (size_t)panel * job->layout.panel_bytes;
    size_t n = (size_t)job->cols * PANEL;
    if (job->scheme.format == QF_F32) {
        job->ops->read(job->src, panel, 0, job->cols, (float *)out);
        return (const float *)out;
    }
    job->ops->read(job->src, panel, 0, job->cols, self->block);
    struct range r = range_empty();
    job->ops->range(self->block, PANEL, job->cols, &r);
    for (int o = 0; o < PANEL; o++)
        if (-r.lo[o] > largest_of(job->scheme.format) || r.hi[o] > largest_of(job->scheme.format))
            self->failure = FAILURE_RANGE;
    if (job->scheme.format == QF_F16)
        job->ops->to_f16(self->block, n, (uint16_t *)out);
    else
        job->ops->to_bf16(self->block, n, (uint16_t *)out);
    return self->block;
}

/* ---- the runs; a share is some panels, or inputs, with a packer of its own ---- */

static void find_ranges(void *arg, int share, int n)
{
    const struct packing *job = arg;
    int64_t p0, p1;
    threads_split(job->panels, share, n, &p0, &p1);
    (job->scheme.gran == QG_INPUT ? input_range : tensor_range)(job, &job->packers[share], p0, p1);
}

static void choose_inputs(void *arg, int share, int n)
{
    const struct packing *job = arg;
    input_choose(job, &job->packers[share], share, n);
}

static void encode_panels(void *arg, int share, int n)
{
    const struct packing *job = arg;
    struct packer *self = &job->packers[share];
    struct coding c = job->coding;
    bool integer = scheme_has_codes(job->scheme);
    int64_t p0, p1;
    threads_split(job->panels, share, n, &p0, &p1);
    if (integer && job->scheme.gran == QG_INPUT) {
        c.input_divisor = job->input_divisor;
        c.input_shift = job->input_shift;
        c.input_offset = job->input_offset;
    }
    for (int64_t p = p0; p < p1 && !self->failure; p++) {
        const float *block = integer ? integer_panel(job, self, (int)p, &c) : float_panel(job, self, (int)p);
        if (job->run->on_panel && !self->failure) job->run->on_panel(job->run->user, job->w, (int)p, block);
    }
}

static void quantize_job(struct packing *job, int n_threads)
{
    const bool integer = scheme_has_codes(job->scheme), inputs = integer && job->scheme.gran == QG_INPUT,
               tensor = integer && (job->scheme.gran == QG_TENSOR || job->factor);
    job->coding = coding_create(job->scheme);
    if (inputs || tensor) threads_run(n_threads, find_ranges, job);
    if (inputs) threads_run(n_threads, choose_inputs, job);
    if (tensor) tensor_choose(job, n_threads);
    if (job->packers[0].failure) return;
    threads_run(n_threads, encode_panels, job);
}

/* ---- the whole tensor ---- */

static gpt2q_status element_failure(const struct packing *job, gpt2q_error *err, float limit,
                                    const char *what)
{
    const struct qsource *src = job->src;
    for (int o = 0; o < src->rows; o++)
        for (int i = 0; i < src->cols; i++) {
            float w;
            qsource_read(src, o, i, 1, &w);
            bool kept = isnan(w) && !scheme_has_codes(job->scheme); /* a NaN has a 16-bit form */
            if (fabsf(w) <= limit || kept) continue;
            return error_set(err, GPT2Q_UNSUPPORTED, "%s: the weight of output %d and input %d is %g, %s",
                             src->name, o, i, (double)w, what);
        }
    return error_set(err, GPT2Q_UNSUPPORTED, "%s: a weight is %s", src->name, what);
}

static gpt2q_status report(const struct packing *job, int n_threads, gpt2q_error *err)
{
    char scheme[SCHEME_TEXT_MAX];
    enum failure failure = FAILURE_NONE;
    for (int t = 0; t < n_threads; t++)
        if (job->packers[t].failure && (!failure || job->packers[t].failure < failure))
            failure = job->packers[t].failure;
    scheme_print(job->scheme, scheme);
    switch (failure) {
    case FAILURE_NOT_FINITE: return element_failure(job, err, 0x1.fffffep127f, "which has no integer code");
    case FAILURE_RANGE:
        return element_failure(job, err, largest_of(job->scheme.format),
                               job->scheme.format == QF_F16 ? "beyond the 65504 of f16"
                                                            : "beyond the range of bf16");
    case FAILURE_SCALE:
        return error_set(
            err, GPT2Q_UNSUPPORTED, "%s: the weights are too large for %s, a scale or minimum overflows %s",
            job->src->name, scheme, scheme_scale(job->scheme) == QSCALE_F16 ? "float16" : "float32");
    default: return GPT2Q_OK;
    }
}

/* The threads' memory: n packers, each with its block and ranges, and the codings of inputs. NULL: memory
 * is out. */
static void *workspace(struct packing *job, int n_threads)
{
    size_t cols = (size_t)job->cols, n = (size_t)n_threads;
    size_t inputs = job->scheme.gran == QG_INPUT && scheme_has_codes(job->scheme) ? cols : 0;
    size_t each = cols * PANEL + 2 * round_up(inputs, 16),
           packers_bytes = round_up(n * sizeof(struct packer), MEM_ALIGN);
    size_t bytes;
    if (!checked_mul(n, each, &bytes) || !checked_add(bytes, 3 * inputs, &bytes)) return NULL;
    if (!checked_mul(bytes, sizeof(float), &bytes) || !checked_add(bytes, packers_bytes, &bytes)) return NULL;
    char *memory = mem_alloc(bytes);
    if (!memory) return NULL;
    job->packers = (struct packer *)memory;
    float *floats = (float *)(memory + packers_bytes);
    for (size_t t = 0; t < n; t++, floats += each)
        job->packers[t] = (struct packer){.block = floats,
                                          .input_lo = floats + cols * PANEL,
                                          .input_hi = floats + cols * PANEL + round_up(inputs, 16)};
    job->input_divisor = floats;
    job->input_shift = floats + inputs;
    job->input_offset = floats + 2 * inputs;
    return memory;
}

/* Places the parts of a tensor in its memory, each at a multiple of 64. Returns false if the scheme does
 * not fit. */
struct placement {
    struct qtensor_layout layout;
    size_t scale, zero, factor, bytes;
};

static bool place(struct scheme scheme, int rows, int cols, struct placement *out)
{
    struct qtensor_layout *l = &out->layout;
    size_t sum;
    if (!qtensor_layout(scheme, rows, cols, l)) return false;
    if (!checked_add(l->codes_bytes, l->scale_bytes + l->zero_bytes, &sum)) return false;
    if (!checked_add(sum, (size_t)4 * MEM_ALIGN, &sum)) return false;
    out->scale = round_up(l->codes_bytes, MEM_ALIGN);
    out->zero = round_up(out->scale + l->scale_bytes, MEM_ALIGN);
    out->factor = round_up(out->zero + l->zero_bytes, MEM_ALIGN);
    out->bytes = round_up(out->factor + l->factor_bytes, MEM_ALIGN);
    return true;
}

size_t qtensor_memory(struct scheme scheme, int rows, int cols)
{
    struct placement at;
    return place(scheme, rows, cols, &at) ? at.bytes : 0;
}

static const struct pack_ops *ops_of(const struct quantize_run *run)
{
    const struct isa *isa = run->isa;
    if (!isa && isa_choose(NULL, &isa, NULL)) isa = isa_at(0); /* an unknown name: the bits are the same */
    return isa->pack;
}

static gpt2q_status misfit(const struct qsource *src, struct scheme scheme, gpt2q_error *err)
{
    char text[SCHEME_TEXT_MAX];
    return error_set(err, GPT2Q_INVALID_ARGUMENT, "%s: %s does not fit its %d outputs by %d inputs%s",
                     src->name, scheme_print(scheme, text), src->rows, src->cols,
                     scheme.gran == QG_GROUP ? "; the group must divide the inputs" : "");
}

static void point(const struct placement *at, struct scheme scheme, int rows, int cols, void *memory,
                  struct qtensor *out, struct qtensor_parts *parts)
{
    const struct qtensor_layout *l = &at->layout;
    parts->codes = memory;
    parts->scale = l->scale_bytes ? parts->codes + at->scale : NULL;
    parts->zero = l->zero_bytes ? parts->codes + at->zero : NULL;
    parts->factor = l->factor_bytes ? (float *)(void *)(parts->codes + at->factor) : NULL;
    *out = (struct qtensor){.scheme = scheme,
                            .rows = rows,
                            .cols = cols,
                            .codes = parts->codes,
                            .panel_bytes = l->panel_bytes,
                            .scale = parts->scale,
                            .zero = parts->zero,
                            .factor = parts->factor,
                            .bytes = qtensor_layout_bytes(l)};
}

bool qtensor_lay_out(struct scheme scheme, int rows, int cols, void *memory, struct qtensor *out,
                     struct qtensor_parts *parts)
{
    struct placement at;
    if (!place(scheme, rows, cols, &at)) return false;
    point(&at, scheme, rows, cols, memory, out, parts);
    return true;
}

/* Points the tensor and the job into memory. */
static void lay_out(struct packing *job, const struct placement *at, void *memory, struct qtensor *out)
{
    struct qtensor_parts parts;
    point(at, job->scheme, job->src->rows, job->cols, memory, out, &parts);
    job->codes = parts.codes, job->scale = parts.scale, job->zero = parts.zero, job->factor = parts.factor;
}

gpt2q_status qtensor_quantize_into(const struct qsource *src, struct scheme scheme, void *memory,
                                   const struct quantize_run *run, struct qtensor *out, gpt2q_error *err)
{
    struct placement at;
    struct qtensor w;
    int n_threads = run->n_threads;
    *out = (struct qtensor){0};
    if (!place(scheme, src->rows, src->cols, &at)) return misfit(src, scheme, err);
    struct packing job = {.src = src,
                          .run = run,
                          .ops = ops_of(run),
                          .scheme = scheme,
                          .cols = src->cols,
                          .layout = at.layout,
                          .w = &w};
    job.panels = (src->rows + PANEL - 1) / PANEL;
    lay_out(&job, &at, memory, &w);
    if (n_threads > job.panels) n_threads = job.panels;
    if (n_threads < 1) n_threads = 1;
    void *work = workspace(&job, n_threads);
    if (!work) return error_memory(err, "quantizing", (size_t)job.cols * PANEL * sizeof(float));
    quantize_job(&job, n_threads);
    gpt2q_status status = report(&job, n_threads, err);
    mem_free(work);
    if (!status) *out = w;
    return status;
}

gpt2q_status qtensor_quantize(const struct qsource *src, struct scheme scheme, const struct quantize_run *run,
                              struct qtensor *out, gpt2q_error *err)
{
    *out = (struct qtensor){0};
    size_t bytes = qtensor_memory(scheme, src->rows, src->cols);
    if (!bytes) return misfit(src, scheme, err);
    void *memory = mem_alloc(bytes);
    if (!memory) return error_memory(err, src->name, bytes);
    gpt2q_status status = qtensor_quantize_into(src, scheme, memory, run, out, err);
    if (status)
        mem_free(memory);
    else
        out->owned = memory;
    return status;
}
