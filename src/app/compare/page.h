/* What the page of `gpt2q compare --html` and its plots share: figures, legends, the marks of a scheme.
 *
 *     html.c             the page, its texts and table; page.css: its style
 *     plots.c            size and perplexity, bits against divergence, divergence of every token
 *     plots_layers.c     where error is born and how it travels
 *     plots_bought.c     what a file's method bought, matrix by matrix
 *     plots_weights.c    one tensor: values, errors, codes */
#ifndef APP_COMPARE_PAGE_H
#define APP_COMPARE_PAGE_H
#include "app/compare/compare.h"

/* The classes of a scheme, as in "s2 k1": a colour, and once the colours are used up another kind of line.
 * The reference has a colour of its own. Every scheme's name stands beside it, too, so that no plot
 * depends on colours alone. */
#define PAGE_COLOURS 8
#define CLASSES_TEXT 24
const char *page_classes(size_t scheme, char text[CLASSES_TEXT]);
#define LABEL_TEXT (SCHEME_TEXT_MAX + 8)
void page_label(const struct compared *s, char label[LABEL_TEXT]);
/* Begins a figure with its heading and a legend of the schemes from `first` on (n_schemes: no legend). The
 * plot comes next, then page_caption. */
void page_figure(FILE *f, const struct comparison *c, size_t first, const char *heading, bool wide);
/* Writes an entry of a legend or list: a sample of the scheme's line, and its name. */
void page_key(FILE *f, const struct comparison *c, size_t scheme);
/* Ends the figure with a sentence that says what it shows. */
__attribute__((format(printf, 2, 3))) void page_caption(FILE *f, const char *format, ...);
#endif
