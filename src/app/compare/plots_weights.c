/* The plots of the page about one tensor: its values, its errors, its codes. */
#include "app/compare/plots.h"
#include <math.h>
#include <string.h>

enum { LEFT = 34, HIGH = 70 /* of a histogram */, STEP = 122 /* from one to the next */ };

/* Draws counts on a logarithmic axis. The largest count is written at the top. */
static void draw_counts(FILE *f, const uint64_t counts[WEIGHT_BINS], double base)
{
    double heights[WEIGHT_BINS], most = 1;
    for (int i = 0; i < WEIGHT_BINS; i++) most = fmax(most, (double)counts[i]);
    struct svg_axis y = {.lo = 0, .hi = log10(1 + most), .from = base, .to = base - HIGH};
    for (double power = 0; pow(10, power) <= most * 1.0001; power += most > 1e4 ? 2 : 1) {
        double at = svg_at(&y, log10(1 + pow(10, power)));
        svg_line(f, "grid", LEFT, at, SVG_WIDTH - 14, at);
        if (power < 4)
            svg_text(f, LEFT - 4, at + 3.5, "tick", "end", "%.0f", pow(10, power));
        else
            svg_text(f, LEFT - 4, at + 3.5, "tick", "end", "1e%.0f", power);
    }
    for (int i = 0; i < WEIGHT_BINS; i++) heights[i] = log10(1 + (double)counts[i]) / log10(1 + most);
    svg_steps(f, "solid", heights, WEIGHT_BINS, LEFT, SVG_WIDTH - 14, base, base - HIGH);
    svg_line(f, "base", LEFT, base, SVG_WIDTH - 14, base);
}

static void draw_values(FILE *f, const struct weight_histogram *h, double top, const char *label)
{
    struct svg_axis x = {.lo = h->lo, .hi = h->hi, .from = LEFT, .to = SVG_WIDTH - 14};
    svg_text(f, 4, top + 10, "name", "start", "%s", label);
    svg_ticks(f, &x, true, top + 14 + HIGH, top + 14, 5);
    draw_counts(f, h->values, top + 14 + HIGH);
    svg_text(f, (x.from + x.to) / 2, top + 14 + HIGH + 26, "axis", "middle",
             "weight w' (counts, logarithmic)");
}

static void draw_errors(FILE *f, const struct weight_histogram *h, double top)
{
    struct svg_axis x = {.lo = -h->reach, .hi = h->reach, .from = LEFT, .to = SVG_WIDTH - 14};
    svg_ticks(f, &x, true, top + 14 + HIGH, top + 14, 4);
    draw_counts(f, h->errors, top + 14 + HIGH);
    svg_text(f, (x.from + x.to) / 2, top + 14 + HIGH + 26, "axis", "middle",
             "error w - w' (counts, logarithmic)");
}

static void draw_codes(FILE *f, const struct weight_histogram *h, double top)
{
    double heights[256], base = top + 14 + HIGH;
    int least = -h->n_codes / 2;
    for (int i = 0; i < h->n_codes; i++) heights[i] = (double)h->codes[i] / (double)h->most_on_a_code;
    svg_text(f, LEFT - 4, top + 14 + 4, "tick", "end", "%.0f %%",
             100 * (double)h->most_on_a_code / (double)h->count);
    svg_text(f, LEFT - 4, base, "tick", "end", "0");
    svg_steps(f, "solid", heights, (size_t)h->n_codes, LEFT, SVG_WIDTH - 14, base, top + 14);
    svg_line(f, "base", LEFT, base, SVG_WIDTH - 14, base);
    svg_text(f, LEFT, base + 13, "tick", "start", "%d", least);
    svg_text(f, (LEFT + SVG_WIDTH - 14) / 2, base + 13, "tick", "middle", "0");
    svg_text(f, SVG_WIDTH - 14, base + 13, "tick", "end", "%d", least + h->n_codes - 1);
    svg_text(f, (LEFT + SVG_WIDTH - 14) / 2, base + 26, "axis", "middle",
             "code, share of the weights; %d of %d are used", h->codes_used, h->n_codes);
}

static void draw_tensor(FILE *f, const struct comparison *c, size_t i)
{
    const struct compared *s = &c->schemes[i];
    const struct weight_histogram *h = &s->histogram;
    char label[LABEL_TEXT], classes[CLASSES_TEXT];
    int rows = 1 + (h->reach > 0) + (h->n_codes > 0);
    double top = 0;
    page_label(s, label);
    svg_begin(f, STEP * rows, "histograms of weights, errors and codes");
    fprintf(f, "<g class=\"%s\">", page_classes(i, classes));
    draw_values(f, h, top, label);
    if (h->reach > 0) draw_errors(f, h, top += STEP);
    if (h->n_codes) draw_codes(f, h, top + STEP);
    fputs("</g>\n", f);
    svg_end(f);
}

void plot_weights(FILE *f, const struct comparison *c)
{
    if (!c->histogram_of) return;
    page_figure(f, c, c->n_schemes, "One tensor, before and after", true);
    fprintf(f, "<p class=\"note\"><code>%s</code></p>\n<div class=\"many\">\n", c->histogram_of);
    for (size_t i = 0; i < c->n_schemes; i++)
        if (c->schemes[i].histogram.count) draw_tensor(f, c, i);
    fputs("</div>\n", f);
    page_caption(f, "Of all matrices in the blocks this one has the farthest outliers, measured by its usual "
                    "weight. Counts are on "
                    "a logarithmic scale, so that single weights in the tails are seen; codes on a plain "
                    "one. Errors are of the "
                    "reference's weight w less the scheme's w'; each has its own axis. With one scale for "
                    "the whole matrix the "
                    "outliers decide the step, and most weights share few codes in the middle; with a scale "
                    "per channel or per "
                    "group the codes spread out. With 4 bits values stand apart like teeth, unless many "
                    "scales fill the gaps.");
}
