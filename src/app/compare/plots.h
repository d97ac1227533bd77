/* The plots of the page. Each writes one figure. */
#ifndef APP_COMPARE_PLOTS_H
#define APP_COMPARE_PLOTS_H
#include "app/compare/page.h"
#include "app/compare/svg.h"

void plot_size_and_perplexity(FILE *f, const struct comparison *c);
void plot_bits_and_divergence(FILE *f, const struct comparison *c);
void plot_divergence(FILE *f, const struct comparison *c);
void plot_ledger(FILE *f, const struct comparison *c, enum ledger_reading reading);
void plot_bought(FILE *f, const struct comparison *c);
void plot_weights(FILE *f, const struct comparison *c);
#endif
