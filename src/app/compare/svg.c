#include "app/compare/svg.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

double svg_at(const struct svg_axis *a, double value)
{
    double lo = a->log ? log10(a->lo) : a->lo, hi = a->log ? log10(a->hi) : a->hi;
    double v = a->log ? (value > 0 ? log10(value) : lo) : value;
    v = v < lo ? lo : v > hi ? hi : v;
    return a->from + (v - lo) / (hi - lo) * (a->to - a->from);
}

struct svg_axis svg_axis_over(double lo, double hi, bool log, double from, double to)
{
    struct svg_axis a = {.lo = lo, .hi = hi, .from = from, .to = to, .log = log};
    if (log) {
        a.lo = pow(10, floor(log10(lo)));
        a.hi = pow(10, ceil(log10(hi)));
        if (!(a.hi > a.lo)) a.hi = a.lo * 10;
        return a;
    }
    double room = (hi - lo) * 0.08;
    if (!(room > 0)) room = fabs(hi) * 0.01 + 1e-9;
    a.lo = lo == 0 ? 0 : lo - room;
    a.hi = hi + room;
    return a;
}

void svg_begin(FILE *f, double height, const char *label)
{
    fprintf(f, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"%s\">\n", SVG_WIDTH, height, label);
}

void svg_end(FILE *f) { fputs("</svg>\n", f); }

void svg_text(FILE *f, double x, double y, const char *class, const char *anchor, const char *format, ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(f, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", class, x, y, anchor);
    html_text(f, text, strlen(text));
    fputs("</text>\n", f);
}

void svg_line(FILE *f, const char *class, double x0, double y0, double x1, double y1)
{
    fprintf(f, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x0, y0, x1,
            y1);
}

static void tick(FILE *f, const struct svg_axis *a, double value, bool horizontal, double across0,
                 double across1)
{
    double at = svg_at(a, value);
    char number[32];
    if (fabs(value) < 1e-12) value = 0;
    bool power = a->log && (value < 0.9e-3 || value > 1.1e4);
    if (power)
        snprintf(number, sizeof number, "1e%ld", lround(log10(value)));
    else
        snprintf(number, sizeof number, "%.4g", value);
    if (horizontal) {
        svg_line(f, "grid", at, across0, at, across1);
        svg_text(f, at, across0 + 13, "tick", "middle", "%s", number);
    } else {
        svg_line(f, "grid", across0, at, across1, at);
        svg_text(f, across0 - 4, at + 3.5, "tick", "end", "%s", number);
    }
}

/* The least step of 1, 2 or 5 times a power of ten that makes at most `most` steps. */
static double round_step(double span, int most)
{
    double step = pow(10, floor(log10(span / most)));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < 4; i++)
        if (span / (step * factors[i]) <= most) return step * factors[i];
    return step * 10;
}

void svg_ticks(FILE *f, const struct svg_axis *a, bool horizontal, double across0, double across1, int most)
{
    if (a->log) {
        int lo = (int)lround(log10(a->lo)), hi = (int)lround(log10(a->hi)),
            step = (hi - lo + most - 1) / most;
        for (int e = hi; e >= lo; e -= step > 0 ? step : 1)
            tick(f, a, pow(10, e), horizontal, across0, across1);
        return;
    }
    double step = round_step(a->hi - a->lo, most);
    for (double v = ceil(a->lo / step) * step; v <= a->hi + step * 1e-9; v += step)
        tick(f, a, v, horizontal, across0, across1);
}

void svg_steps(FILE *f, const char *class, const double *heights, size_t n, double x0, double x1, double base,
               double top)
{
    fprintf(f, "<path class=\"%s\" d=\"M%.1f %.1f", class, x0, base);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "V%.1fH%.1f", base + (top - base) * heights[i],
                x0 + (x1 - x0) * (double)(i + 1) / (double)n);
    fprintf(f, "V%.1fZ\"/>\n", base);
}

void html_text(FILE *f, const char *text, size_t n)
{
    size_t length;
    char *clean = utf8_sanitize(text, n, &length);
    if (!clean) return;
    for (size_t i = 0; i < length; i++) {
        switch (clean[i]) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        case '\n': fputs("<span class=\"nl\">\xE2\x86\xB5</span>", f); break;
        default:
            if ((unsigned char)clean[i] >= 0x20 || clean[i] == '\t')
                fputc(clean[i], f);
            else
                fputs("\xEF\xBF\xBD", f); /* HTML has no control characters */
        }
    }
    mem_free(clean);
}
