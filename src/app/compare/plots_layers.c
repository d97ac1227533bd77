/* The plots of the page about every part of the forward pass: where error is born and how it travels. */
#include "app/compare/plots.h"
#include <math.h>
#include <string.h>

enum { BOTTOM = 180, TOP = 16, ZERO_ROW = 192 /* where errors of exactly 0 stand */, NAMED = 3 };

static const struct ledger *any_ledger(const struct comparison *c, enum ledger_reading reading)
{
    for (size_t i = 1; i < c->n_schemes; i++)
        if (c->schemes[i].ledgers[reading].n) return &c->schemes[i].ledgers[reading];
    return NULL;
}

static struct svg_axis error_axis(const struct comparison *c, enum ledger_reading reading, bool *zeros)
{
    double lo = INFINITY, hi = 0;
    *zeros = false;
    for (size_t i = 1; i < c->n_schemes; i++) {
        const struct ledger *l = &c->schemes[i].ledgers[reading];
        for (size_t k = 0; k < l->n; k++) {
            double e = ledger_relative_error(&l->lines[k]);
            if (e == 0) *zeros = true;
            if (!(e > 0) || !isfinite(e)) continue;
            lo = fmin(lo, e);
            hi = fmax(hi, e);
        }
    }
    if (!(hi > 0)) lo = 1e-3, hi = 1;
    return svg_axis_over(lo, hi, true, BOTTOM, TOP);
}

/* Draws a line before every block, and the block's number below. */
static void draw_blocks(FILE *f, const struct ledger *l, const struct svg_axis *x)
{
    int blocks = 0, number;
    for (size_t k = 0; k < l->n; k++)
        if (strstr(l->lines[k].name, ".ln_1")) blocks++;
    for (size_t k = 0; k < l->n; k++) {
        if (!strstr(l->lines[k].name, ".ln_1") || sscanf(l->lines[k].name, "h.%d", &number) != 1) continue;
        svg_line(f, "grid", svg_at(x, (double)k - 0.5), ZERO_ROW + 4, svg_at(x, (double)k - 0.5), TOP);
        if (number % (blocks / 13 + 1) == 0)
            svg_text(f, svg_at(x, (double)k + 4), 209, "tick", "middle", "%d", number);
    }
    svg_line(f, "grid", svg_at(x, (double)l->n - 2.5), ZERO_ROW + 4, svg_at(x, (double)l->n - 2.5), TOP);
}

/* Draws lines. They are broken where there is no error. */
static void draw_accumulated(FILE *f, const struct ledger *l, const struct svg_axis *x,
                             const struct svg_axis *y)
{
    bool open = false;
    for (size_t k = 0; k <= l->n; k++) {
        double e = k < l->n ? ledger_relative_error(&l->lines[k]) : 0;
        if (e > 0 && isfinite(e)) {
            if (!open) fputs("<polyline class=\"curve\" points=\"", f);
            fprintf(f, "%.1f,%.1f ", svg_at(x, (double)k), svg_at(y, e));
            open = true;
            continue;
        }
        if (open) fputs("\"/>\n", f);
        open = false;
        if (k < l->n && e == 0)
            fprintf(f, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%d\" r=\"1.2\"/>\n", svg_at(x, (double)k),
                    ZERO_ROW);
    }
}

static void draw_local(FILE *f, const struct ledger *l, const struct svg_axis *x, const struct svg_axis *y)
{
    for (size_t k = 0; k < l->n; k++) {
        double e = ledger_relative_error(&l->lines[k]);
        if (!(e > 0) || !isfinite(e)) continue;
        fprintf(f,
                "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.4\"><title>%s: %.2g</title></circle>\n",
                svg_at(x, (double)k), svg_at(y, e), l->lines[k].name, e);
    }
}

static size_t largest_but(const struct ledger *l, const size_t *taken, size_t n_taken)
{
    size_t best = l->n;
    for (size_t k = 0; k < l->n; k++) {
        bool is_taken = false;
        for (size_t i = 0; i < n_taken; i++) is_taken = is_taken || taken[i] == k;
        double e = ledger_relative_error(&l->lines[k]);
        if (!is_taken && e > 0 && (best == l->n || e > ledger_relative_error(&l->lines[best]))) best = k;
    }
    return best;
}

/* Lists the parts with the largest errors by name, a line per scheme. */
static void write_largest(FILE *f, const struct comparison *c, enum ledger_reading reading)
{
    fputs("<p class=\"note\">The largest, by name:", f);
    for (size_t i = 1; i < c->n_schemes; i++) {
        const struct ledger *l = &c->schemes[i].ledgers[reading];
        size_t taken[NAMED], n = 0;
        fputs("<br>", f);
        page_key(f, c, i);
        fputs(": ", f);
        for (; n < NAMED; n++) {
            taken[n] = largest_but(l, taken, n);
            if (taken[n] == l->n) break;
            fprintf(f, "%s%s %.2g", n ? ", " : "", l->lines[taken[n]].name,
                    ledger_relative_error(&l->lines[taken[n]]));
        }
        if (!n) fputs("no error", f);
    }
    fputs("</p>\n", f);
}

static void caption(FILE *f, bool local)
{
    if (local)
        page_caption(
            f,
            "Every part is fed what the reference feeds it, so a dot is the error that this part makes "
            "itself. "
            "Only what is quantized makes any: the products and the embedding (notes quantizes layer norms "
            "and "
            "biases too); attention and the activation function have none, and no dot. A dot well above its "
            "weight's own error means that the inputs fall where the weights are worst.");
    else
        page_caption(f, "The scheme runs as it is: an intermediate has the errors of all that came before. "
                        "The curve does not "
                        "only rise: attention and the activation function stretch errors (small sums of "
                        "large terms), while "
                        "a residual stream that is larger than what is added to it dilutes them at the end "
                        "of each block.");
}

void plot_ledger(FILE *f, const struct comparison *c, enum ledger_reading reading)
{
    const struct ledger *names = any_ledger(c, reading);
    if (!names) return;
    bool local = reading == LEDGER_LOCAL, zeros;
    char classes[CLASSES_TEXT];
    struct svg_axis x = {.lo = -0.5, .hi = (double)names->n - 0.5, .from = 40, .to = SVG_WIDTH - 10};
    struct svg_axis y = error_axis(c, reading, &zeros);
    page_figure(f, c, 1, local ? "Where error is born" : "Where error travels", false);
    svg_begin(f, 232,
              local ? "local relative error of every intermediate"
                    : "accumulated relative error of every intermediate");
    svg_ticks(f, &y, false, x.from, x.to, 6);
    draw_blocks(f, names, &x);
    if (zeros && !local) svg_text(f, x.from - 4, ZERO_ROW + 3.5, "tick", "end", "0");
    for (size_t i = 1; i < c->n_schemes; i++) {
        fprintf(f, "<g class=\"%s\">", page_classes(i, classes));
        (local ? draw_local : draw_accumulated)(f, &c->schemes[i].ledgers[reading], &x, &y);
        fputs("</g>\n", f);
    }
    svg_text(f, (x.from + x.to) / 2, 226, "axis", "middle",
             "block, from embed on the left to logits on the right");
    svg_text(f, 4, 10, "axis", "start", "relative error, %s", ledger_reading_name(reading));
    svg_end(f);
    write_largest(f, c, reading);
    caption(f, local);
}
