/* What a file's method bought, matrix by matrix: for each file a plot and its figures. */
#include "app/compare/plots.h"
#include <math.h>
#include <string.h>

enum { NAMES = 104 /* width of the names */, SHARES = 40, ROW = 14, TOP = 34 };

/* Holds the local errors of all files, so that they can be compared by eye. */
static struct svg_axis error_axis(const struct comparison *c)
{
    double lo = INFINITY, hi = 0;
    struct bought b;
    for (size_t i = 1; i < c->n_schemes; i++) {
        const struct compared *s = &c->schemes[i];
        for (size_t k = 0; s->nearest && k < s->n_weights; k++) {
            if (!compare_bought(s, k, &b)) continue;
            if (b.local > 0) lo = fmin(lo, b.local);
            if (b.local_nearest > 0) lo = fmin(lo, b.local_nearest);
            hi = fmax(hi, fmax(b.local, b.local_nearest));
        }
    }
    if (!(hi > 0)) lo = 1e-3, hi = 1;
    struct svg_axis x = svg_axis_over(lo, hi, true, NAMES, SVG_WIDTH - SHARES);
    x.lo = lo / 1.15; /* not whole decades: most errors lie within one */
    x.hi = hi * 1.15;
    return x;
}

/* Numbers 1, 2 and 5 of every decade within the axis, or 1 alone where it is long. */
static void draw_ticks(FILE *f, const struct svg_axis *x, double top, double bottom)
{
    static const double steps[] = {1, 2, 5};
    const int n = x->hi < 40 * x->lo ? 3 : 1;
    for (double decade = pow(10, floor(log10(x->lo))); decade <= x->hi; decade *= 10)
        for (int i = 0; i < n; i++) {
            const double value = decade * steps[i];
            if (value < x->lo || value > x->hi) continue;
            svg_line(f, "grid", svg_at(x, value), top, svg_at(x, value), bottom);
            svg_text(f, svg_at(x, value), bottom + 12, "tick", "middle", "%.3g", value);
        }
}

static void draw_matrix(FILE *f, const struct bought *b, const struct svg_axis *x, double y)
{
    svg_text(f, NAMES - 8, y + 3.5, "tick", "end", "%s", b->name);
    if (!(b->local_nearest > 0) || !isfinite(b->local_nearest)) return;
    const double from = svg_at(x, b->local_nearest), to = svg_at(x, b->local > 0 ? b->local : x->lo);
    svg_line(f, "whisker", from, y, to, y);
    fprintf(f, "<circle class=\"ring\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", from, y);
    fprintf(f,
            "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%s: %.2g, to nearest "
            "%.2g</title></circle>\n",
            to, y, b->name, b->local, b->local_nearest);
    svg_text(f, SVG_WIDTH - 4, y + 3.5, "tick", "end", "%.0f %%", 100 * b->local / b->local_nearest);
}

static void draw_file(FILE *f, const struct comparison *c, size_t i, const struct svg_axis *x)
{
    const struct compared *s = &c->schemes[i];
    struct bought b;
    char label[LABEL_TEXT], classes[CLASSES_TEXT];
    double rows = 0, y = TOP;
    for (size_t k = 0; k < s->n_weights; k++) rows += compare_bought(s, k, &b);
    const double bottom = TOP + ROW * rows - 4;
    page_label(s, label);
    svg_begin(f, bottom + 32, "error of every matrix's outputs, rounded to nearest and by the method");
    svg_text(f, 4, 11, "name", "start", "%s", label);
    svg_text(f, SVG_WIDTH - 4, 11, "axis", "end", "KL %.3g to %.3g", s->nearest->score.kl.mean,
             s->score.kl.mean);
    svg_text(f, SVG_WIDTH - 4, 24, "axis", "end", "of it");
    draw_ticks(f, x, TOP - 8, bottom);
    fprintf(f, "<g class=\"%s\">", page_classes(i, classes));
    for (size_t k = 0; k < s->n_weights; k++) {
        if (!compare_bought(s, k, &b)) continue;
        draw_matrix(f, &b, x, y);
        y += ROW;
    }
    fputs("</g>\n", f);
    svg_text(f, (x->from + x->to) / 2, bottom + 27, "axis", "middle", "relative error of the outputs, local");
    svg_end(f);
}

/* ---- figures ---- */

static void write_cell(FILE *f, const char *of, double x)
{
    if (isfinite(x))
        fprintf(f, "<td data-of=\"%s\">%.4f</td>", of, x);
    else
        fprintf(f, "<td data-of=\"%s\">-</td>", of);
}

static void write_figures(FILE *f, const struct comparison *c, size_t i)
{
    const struct compared *s = &c->schemes[i];
    struct bought b;
    fputs("<details><summary>", f);
    page_key(f, c, i);
    fputs(" in figures</summary>\n<table>\n<thead><tr><th>matrix</th><th>bits a weight</th>"
          "<th>weights, to nearest</th><th>weights, now</th><th>outputs, to nearest</th><th>outputs, now</th>"
          "<th>accumulated, to nearest</th><th>accumulated, now</th></tr></thead>\n<tbody>\n",
          f);
    for (size_t k = 0; k < s->n_weights; k++) {
        if (!compare_bought(s, k, &b)) continue;
        fprintf(f, "<tr><td data-of=\"matrix\">%s</td><td data-of=\"bits a weight\">%.2f</td>", b.name,
                b.now->bits);
        write_cell(f, "weights, to nearest", b.nearest->relative_error);
        write_cell(f, "weights, now", b.now->relative_error);
        write_cell(f, "outputs, to nearest", b.local_nearest);
        write_cell(f, "outputs, now", b.local);
        write_cell(f, "accumulated, to nearest", b.all_nearest);
        write_cell(f, "accumulated, now", b.all);
        fputs("</tr>\n", f);
    }
    fputs("</tbody>\n</table></details>\n", f);
}

static void write_file(FILE *f, const struct comparison *c, size_t i, const struct svg_axis *x)
{
    const struct compared *s = &c->schemes[i];
    fputs("<div>\n", f);
    draw_file(f, c, i, x);
    fputs("<p class=\"note\">", f);
    page_key(f, c, i);
    fputs(": <code>", f);
    html_text(f, s->method, strlen(s->method));
    fputs("</code>", f);
    if (s->calibration) {
        fputs("; ", f);
        html_text(f, s->calibration, strlen(s->calibration));
    }
    fputs("</p>\n</div>\n", f);
}

void plot_bought(FILE *f, const struct comparison *c)
{
    bool any = false;
    for (size_t i = 1; i < c->n_schemes; i++) any |= c->schemes[i].nearest != NULL;
    if (!any) return;
    const struct svg_axis x = error_axis(c);
    page_figure(f, c, c->n_schemes, "What the methods bought, matrix by matrix", true);
    fputs("<div class=\"many\">\n", f);
    for (size_t i = 1; i < c->n_schemes; i++)
        if (c->schemes[i].nearest) write_file(f, c, i, &x);
    fputs("</div>\n", f);
    for (size_t i = 1; i < c->n_schemes; i++)
        if (c->schemes[i].nearest) write_figures(f, c, i);
    page_caption(
        f,
        "A ring is the matrix in the same scheme, rounded to nearest; the dot is what the file holds. Both "
        "are fed the reference's inputs, so the error is the matrix's own; the text is the one above, "
        "not the one of calibration. To the left is better, and at the right stands what is left of the "
        "error. The figures also have the weights' own error: a method that lets weights carry each "
        "other's errors (gptq) leaves weights farther from the original's and outputs nearer. "
        "Accumulated errors hold those of all matrices before; a method that aims at the original's "
        "outputs from quantized inputs (gptq's qep) shows there what it bought.");
}
