/* Plots as inline SVG for a page: axes, lines, bars. Sizes are in user units. The page scales a plot to
 * its width, so a plot that is drawn about as wide as a telephone keeps readable text. Colours and fonts
 * are the page's classes. */
#ifndef APP_SVG_H
#define APP_SVG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SVG_WIDTH 360.0

struct svg_axis {
    double lo, hi;   /* values */
    double from, to; /* where they lie; y grows downwards, so there from > to */
    bool log;
};
/* Where a value lies. Values beyond an end lie at that end. */
double svg_at(const struct svg_axis *a, double value);
/* An axis whose ends differ and hold all of [lo, hi]: decades if log, else with a little room. */
struct svg_axis svg_axis_over(double lo, double hi, bool log, double from, double to);

/* label: plain text for readers who cannot see the plot. */
void svg_begin(FILE *f, double height, const char *label);
void svg_end(FILE *f);
/* Text of a class ("tick", "name" ..), anchored "start", "middle" or "end". */
__attribute__((format(printf, 6, 7))) void svg_text(FILE *f, double x, double y, const char *class,
                                                    const char *anchor, const char *format, ...);
void svg_line(FILE *f, const char *class, double x0, double y0, double x1, double y1);
/* Draws lines across [across0, across1] at round values, with their numbers. `horizontal`: an x axis,
 * numbers below. */
void svg_ticks(FILE *f, const struct svg_axis *a, bool horizontal, double across0, double across1, int most);
/* A filled outline of n equal steps over [x0, x1]; heights[i] of 0..1 from `base` up to `top`. */
void svg_steps(FILE *f, const char *class, const double *heights, size_t n, double x0, double x1, double base,
               double top);

/* Writes any bytes as HTML text: "&lt;" for "<", line breaks as U+21B5. */
void html_text(FILE *f, const char *text, size_t n);
#endif
