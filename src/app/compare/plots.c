/* The plots of the page. */
#include "app/compare/html.h"
#include <math.h>
#include <string.h>

/* ---- size and perplexity ---- */

static void draw_size_row(FILE *f, const struct comparison *c, size_t i, double y,
                          const struct svg_axis *size, const struct svg_axis *ppl)
{
    const struct compared *s = &c->schemes[i];
    char label[SCHEME_TEXT_MAX + 8];
    double p = score_perplexity(&s->score), error = p * moments_error(&s->score.delta),
           megabytes = (double)s->bytes / 1e6;
    page_label(s, label);
    svg_text(f, 8, y - 2, "name", "start", "%s", label);
    fprintf(f, "<rect class=\"fill s%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"12\" rx=\"2\"/>\n",
            page_colour(i), size->from, y + 3, svg_at(size, megabytes) - size->from);
    svg_text(f, svg_at(size, megabytes) + 4, y + 13, "tick", "start", "%.1f MB", megabytes);
    fprintf(f, "<g class=\"s%d\">", page_colour(i));
    svg_line(f, "whisker", svg_at(ppl, p - error), y + 9, svg_at(ppl, p + error), y + 9);
    fprintf(f,
            "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%s: perplexity "
            "%.3f</title></circle></g>\n",
            svg_at(ppl, p), y + 9, label, p);
    bool right = svg_at(ppl, p) > (ppl->from + ppl->to) / 2;
    svg_text(f, svg_at(ppl, right ? p - error : p + error) + (right ? -8 : 8), y + 13, "tick",
             right ? "end" : "start", "%.2f", p);
}

void plot_size_and_perplexity(FILE *f, const struct comparison *c)
{
    double most = 0, lo = INFINITY, hi = 0, n = 0;
    for (size_t i = 0; i < c->n_schemes; i++) {
        const struct compared *s = &c->schemes[i];
        double p = score_perplexity(&s->score), error = p * moments_error(&s->score.delta);
        most = fmax(most, (double)s->bytes / 1e6);
        lo = fmin(lo, p - error);
        hi = fmax(hi, p + error);
        n++;
    }
    double bottom = 30 + 34 * n;
    struct svg_axis size = {.lo = 0, .hi = most * 1.5, .from = 8, .to = 190};
    struct svg_axis ppl = svg_axis_over(lo, hi, false, 206, SVG_WIDTH - 14);
    page_figure(f, c, 0, "Size and perplexity");
    svg_begin(f, bottom + 18, "size and perplexity of every scheme");
    svg_text(f, 8, 12, "axis", "start", "stored size");
    svg_text(f, SVG_WIDTH - 14, 12, "axis", "end", "perplexity (left is better)");
    svg_ticks(f, &ppl, true, bottom - 4, 18, 4);
    svg_line(f, "dash", svg_at(&ppl, score_perplexity(&c->schemes->score)), 18,
             svg_at(&ppl, score_perplexity(&c->schemes->score)), bottom - 4);
    for (size_t i = 0; i < c->n_schemes; i++) draw_size_row(f, c, i, 32 + 34 * (double)i, &size, &ppl);
    svg_end(f);
    page_caption(
        f,
        "Bars: what all tensors take, scales included. Dots: perplexity over %llu tokens; its axis does not "
        "begin at 0. "
        "Whiskers: one standard error of the difference from the reference, paired token by token: two "
        "schemes that "
        "err on the same tokens can be told apart although either figure alone is uncertain by %.1f.",
        (unsigned long long)c->schemes->score.nll.n,
        score_perplexity(&c->schemes->score) * moments_error(&c->schemes->score.nll));
}

/* ---- divergence, token by token ---- */

enum { KL_BINS = 48 };

/* Shares of the positions in each bin of a logarithmic axis, over the largest share of all. */
static double kl_shares(const struct score *score, const struct svg_axis *x, double shares[KL_BINS])
{
    double most = 0, lo = log10(x->lo), hi = log10(x->hi);
    memset(shares, 0, KL_BINS * sizeof *shares);
    for (size_t i = 0; i < score->kl.n; i++) {
        double kl = (double)score->kl_rows[i], at = kl > 0 ? (log10(kl) - lo) / (hi - lo) * KL_BINS : 0;
        int bin = at < 0 ? 0 : at >= KL_BINS ? KL_BINS - 1 : (int)at;
        shares[bin] += 1 / (double)score->kl.n;
        most = fmax(most, shares[bin]);
    }
    return most;
}

void plot_divergence(FILE *f, const struct comparison *c)
{
    double hi = 1e-3, lo = 1, top = 0, shares[KL_BINS];
    for (size_t i = 1; i < c->n_schemes; i++) {
        hi = fmax(hi, c->schemes[i].score.kl_max);
        if (c->schemes[i].score.kl.mean > 0) lo = fmin(lo, c->schemes[i].score.kl.mean / 100);
    }
    struct svg_axis x = svg_axis_over(fmax(lo, 1e-9), hi, true, 14, SVG_WIDTH - 14);
    for (size_t i = 1; i < c->n_schemes; i++) top = fmax(top, kl_shares(&c->schemes[i].score, &x, shares));
    page_figure(f, c, 1, "Divergence of every token");
    svg_begin(f, 220, "distribution of the divergence of single tokens");
    svg_ticks(f, &x, true, 186, 14, 6);
    for (size_t i = 1; i < c->n_schemes; i++) {
        const struct score *score = &c->schemes[i].score;
        kl_shares(score, &x, shares);
        for (int b = 0; b < KL_BINS; b++) shares[b] /= top > 0 ? top : 1;
        fprintf(f, "<g class=\"s%d\">", page_colour(i));
        svg_steps(f, "area", shares, KL_BINS, x.from, x.to, 186, 24);
        svg_line(f, "mean", svg_at(&x, score->kl.mean), 186, svg_at(&x, score->kl.mean), 14);
        fputs("</g>\n", f);
    }
    svg_line(f, "base", x.from, 186, x.to, 186);
    svg_text(f, SVG_WIDTH / 2, 214, "axis", "middle", "KL(reference || scheme) of a position, nats");
    svg_end(f);
    page_caption(
        f, "At every position both models give a distribution over the next token; KL says how many "
           "nats the scheme's is worse "
           "when the reference's is true. The axis is logarithmic: schemes differ by powers of ten. Dashed "
           "lines are means; where a mean lies right of the peak, few tokens carry most of the "
           "damage. Perplexity cannot see "
           "a change that helps one token and hurts the next; KL counts both.");
}

/* ---- layers ---- */

static const struct ledger *any_ledger(const struct comparison *c, enum ledger_reading reading)
{
    for (size_t i = 1; i < c->n_schemes; i++)
        if (c->schemes[i].ledgers[reading].n) return &c->schemes[i].ledgers[reading];
    return NULL;
}

static struct svg_axis error_axis(const struct comparison *c, enum ledger_reading reading)
{
    double lo = 1, hi = 1e-5;
    for (size_t i = 1; i < c->n_schemes; i++) {
        const struct ledger *l = &c->schemes[i].ledgers[reading];
        for (size_t k = 0; k < l->n; k++) {
            double e = ledger_relative_error(&l->lines[k]);
            if (!(e > 0) || !isfinite(e)) continue;
            lo = fmin(lo, e);
            hi = fmax(hi, e);
        }
    }
    return svg_axis_over(fmax(fmin(lo, hi), 1e-7), hi, true, 196, 16);
}

/* A line before every block and the block's number below. */
static void draw_blocks(FILE *f, const struct ledger *l, const struct svg_axis *x)
{
    int blocks = 0, number;
    for (size_t k = 0; k < l->n; k++)
        if (strstr(l->lines[k].name, ".ln_1")) blocks++;
    for (size_t k = 0; k < l->n; k++) {
        if (!strstr(l->lines[k].name, ".ln_1") || sscanf(l->lines[k].name, "h.%d", &number) != 1) continue;
        svg_line(f, "grid", svg_at(x, (double)k - 0.5), 196, svg_at(x, (double)k - 0.5), 16);
        if (number % (blocks / 13 + 1) == 0)
            svg_text(f, svg_at(x, (double)k + 4), 209, "tick", "middle", "%d", number);
    }
    svg_line(f, "grid", svg_at(x, (double)l->n - 2.5), 196, svg_at(x, (double)l->n - 2.5), 16);
}

static void draw_accumulated(FILE *f, const struct ledger *l, const struct svg_axis *x,
                             const struct svg_axis *y)
{
    fputs("<polyline class=\"curve\" points=\"", f);
    for (size_t k = 0; k < l->n; k++)
        fprintf(f, "%.1f,%.1f ", svg_at(x, (double)k), svg_at(y, ledger_relative_error(&l->lines[k])));
    fputs("\"/>\n", f);
}

static void draw_local(FILE *f, const struct ledger *l, const struct svg_axis *x, const struct svg_axis *y)
{
    for (size_t k = 0; k < l->n; k++) {
        double e = ledger_relative_error(&l->lines[k]);
        if (!(e > y->lo)) continue;
        fprintf(f,
                "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.4\"><title>%s: %.2g</title></circle>\n",
                svg_at(x, (double)k), svg_at(y, e), l->lines[k].name, e);
    }
}

void plot_ledger(FILE *f, const struct comparison *c, enum ledger_reading reading)
{
    const struct ledger *names = any_ledger(c, reading);
    if (!names) return;
    bool local = reading == LEDGER_LOCAL;
    struct svg_axis x = {.lo = -0.5, .hi = (double)names->n - 0.5, .from = 40, .to = SVG_WIDTH - 10};
    struct svg_axis y = error_axis(c, reading);
    page_figure(f, c, 1, local ? "Where error is born" : "Where error travels");
    svg_begin(f, 232,
              local ? "local relative error of every intermediate"
                    : "accumulated relative error of every intermediate");
    svg_ticks(f, &y, false, x.from, x.to, 6);
    draw_blocks(f, names, &x);
    for (size_t i = 1; i < c->n_schemes; i++) {
        fprintf(f, "<g class=\"s%d\">", page_colour(i));
        (local ? draw_local : draw_accumulated)(f, &c->schemes[i].ledgers[reading], &x, &y);
        fputs("</g>\n", f);
    }
    svg_text(f, (x.from + x.to) / 2, 226, "axis", "middle",
             "block, from embed on the left to logits on the right");
    svg_text(f, 4, 10, "axis", "start", "relative error, %s", ledger_reading_name(reading));
    svg_end(f);
    if (local)
        page_caption(f, "Every part is fed what the reference feeds it, so a dot is the error that this part "
                        "makes itself. Only what is "
                        "quantized makes any: the products and the embedding (notes quantizes layer norms "
                        "and biases too); attention and "
                        "the activation function have none, and no dot. A dot well above its weight's own "
                        "error means that the inputs "
                        "fall where the weights are worst.");
    else
        page_caption(f,
                     "The scheme runs as it is: an intermediate has the errors of all that came before. The "
                     "curve does not only "
                     "rise: attention and the activation function stretch errors (small sums of large "
                     "terms), while a residual "
                     "stream that is larger than what is added to it dilutes them at the end of each block.");
}

/* ---- weights and codes ---- */

static void draw_values(FILE *f, const struct weight_histogram *h, double base, double top)
{
    double heights[HISTOGRAM_BINS], most = 1;
    for (int i = 0; i < HISTOGRAM_BINS; i++) most = fmax(most, (double)h->values[i]);
    for (int i = 0; i < HISTOGRAM_BINS; i++) heights[i] = log10(1 + (double)h->values[i]) / log10(1 + most);
    svg_steps(f, "solid", heights, HISTOGRAM_BINS, 14, SVG_WIDTH - 14, base, top);
    svg_line(f, "base", 14, base, SVG_WIDTH - 14, base);
}

static void draw_codes(FILE *f, const struct weight_histogram *h, double base, double top)
{
    double heights[256];
    for (int i = 0; i < h->n_codes; i++) heights[i] = (double)h->codes[i] / (double)h->most_on_a_code;
    svg_steps(f, "solid", heights, (size_t)h->n_codes, 14, SVG_WIDTH - 14, base, top);
    svg_line(f, "base", 14, base, SVG_WIDTH - 14, base);
}

static void draw_tensor(FILE *f, const struct comparison *c, size_t i)
{
    const struct compared *s = &c->schemes[i];
    const struct weight_histogram *h = &s->histogram;
    struct svg_axis x = {.lo = h->lo, .hi = h->hi, .from = 14, .to = SVG_WIDTH - 14};
    char label[SCHEME_TEXT_MAX + 8];
    page_label(s, label);
    svg_begin(f, h->n_codes ? 212 : 112, "histogram of weights and codes");
    fprintf(f, "<g class=\"s%d\">", page_colour(i));
    svg_ticks(f, &x, true, 92, 18, 5);
    svg_text(f, 14, 12, "name", "start", "%s: values", label);
    draw_values(f, h, 92, 20);
    if (h->n_codes) {
        svg_text(f, 14, 126, "name", "start", "codes: %d of %d are used", h->codes_used, h->n_codes);
        draw_codes(f, h, 194, 132);
        svg_text(f, 14, 207, "tick", "start", "least code");
        svg_text(f, SVG_WIDTH - 14, 207, "tick", "end", "largest code");
    }
    fputs("</g>\n", f);
    svg_end(f);
}

void plot_weights(FILE *f, const struct comparison *c)
{
    if (!c->histogram_of) return;
    page_figure(f, c, c->n_schemes, "One tensor, before and after");
    fprintf(f, "<p class=\"note\"><code>%s</code></p>\n<div class=\"many\">\n", c->histogram_of);
    for (size_t i = 0; i < c->n_schemes; i++)
        if (c->schemes[i].histogram.count) draw_tensor(f, c, i);
    fputs("</div>\n", f);
    page_caption(f, "Of all matrices in the blocks this one has the farthest outliers, measured by its usual "
                    "weight. Values are counted on "
                    "a logarithmic scale, so that single weights in the tails are seen; codes on a plain "
                    "one. With one scale for the "
                    "whole matrix the outliers decide the step, and most weights share few codes in the "
                    "middle; with a scale per "
                    "channel or per group the codes spread out. With 4 bits values stand apart like teeth, "
                    "unless many scales fill the "
                    "gaps.");
}
