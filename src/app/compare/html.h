/* The page of `gpt2q compare --html`: what its two files share. */
#ifndef APP_COMPARE_HTML_H
#define APP_COMPARE_HTML_H
#include "app/compare/compare.h"
#include "app/compare/svg.h"

#define PAGE_COLOURS 8
/* The class of a scheme's colour, "s0" for the reference. */
int page_colour(size_t scheme);
void page_label(const struct compared *s, char label[SCHEME_TEXT_MAX + 8]);
/* A figure with its heading and the colours of the schemes from `first` on; then the plot, then page_caption.
 */
void page_figure(FILE *f, const struct comparison *c, size_t first, const char *heading);
/* Ends the figure with what is to be learned from it. */
__attribute__((format(printf, 2, 3))) void page_caption(FILE *f, const char *format, ...);

void plot_size_and_perplexity(FILE *f, const struct comparison *c);
void plot_divergence(FILE *f, const struct comparison *c);
void plot_ledger(FILE *f, const struct comparison *c, enum ledger_reading reading);
void plot_weights(FILE *f, const struct comparison *c);
#endif
