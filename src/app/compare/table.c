/* The comparison for people: every scheme's text and where it leaves the reference, two tables, and the
 * ledger of errors. */
#include "app/compare/compare.h"
#include "app/tables.h"
#include "qtensor/levels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIM   "\033[2m"
#define MARK  "\033[1;33m"
#define RESET "\033[0m"

static bool colours(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

/* Shows line breaks as a sign, so that a completion stays one paragraph. */
static void print_flat(const char *text, size_t n)
{
    for (size_t i = 0, end; i < n; i = end + 1) {
        const char *newline = memchr(text + i, '\n', n - i);
        end = newline ? (size_t)(newline - text) : n;
        print_escaped(text + i, end - i);
        if (newline) fputs("\xE2\x86\xB5", stdout); /* U+21B5 */
    }
}

static void label_of(const struct compared *s, char label[SCHEME_TEXT_MAX + 8])
{
    bool plain = !strcmp(s->activations, "f32");
    snprintf(label, SCHEME_TEXT_MAX + 8, "%s%s%s", s->scheme, plain ? "" : "@", plain ? "" : s->activations);
}

static int widest_label(const struct comparison *c)
{
    char label[SCHEME_TEXT_MAX + 8];
    int width = 6;
    for (size_t i = 0; i < c->n_schemes; i++) {
        if (!c->schemes[i].done) continue;
        label_of(&c->schemes[i], label);
        if ((int)strlen(label) > width) width = (int)strlen(label);
    }
    return width;
}

static void print_completion(const struct completion *k, bool is_reference, bool colour)
{
    size_t split = k->first_divergence < 0 ? k->text_len : k->mark;
    if (is_reference) {
        print_flat(k->text, k->text_len);
    } else if (colour) {
        fputs(DIM, stdout);
        print_flat(k->text, split);
        fputs(RESET MARK, stdout);
        print_flat(k->text + split, k->text_len - split);
        fputs(RESET, stdout);
    } else {
        print_flat(k->text, k->text_len);
    }
    if (!is_reference && k->first_divergence < 0)
        printf("  [as the reference]");
    else if (!is_reference)
        printf("  [its own from token %lld]", (long long)k->first_divergence);
    putchar('\n');
}

static void print_completions(const struct comparison *c, int width)
{
    bool colour = colours();
    if (!c->schemes->completions) return;
    for (size_t p = 0; p < c->n_prompts; p++) {
        fputs(p ? "\n\"" : "\"", stdout);
        print_flat(c->prompts[p], strlen(c->prompts[p]));
        fputs("\"\n", stdout);
        for (size_t i = 0; i < c->n_schemes; i++) {
            const struct compared *s = &c->schemes[i];
            char label[SCHEME_TEXT_MAX + 8];
            if (!s->done) continue;
            label_of(s, label);
            printf("  %-*s  ", width, label);
            print_completion(&s->completions[p], i == 0, colour);
        }
    }
    putchar('\n');
}

/* Prints "0.12 +- 0.02" in a column, with its sign if `sign`. */
static void print_column(int width, double value, double error, bool sign)
{
    char text[ERROR_TEXT], with_sign[ERROR_TEXT + 1];
    print_with_error(value, error, "+-", text);
    snprintf(with_sign, sizeof with_sign, "%s%s", sign && value >= 0 ? "+" : "", text);
    printf(" %*s", width, with_sign);
}

static void print_quality(const struct comparison *c, int width)
{
    printf("%-*s %14s %16s %18s %5s\n", width, "scheme", "perplexity", "nll - ref.'s", "KL, nats a token",
           "same");
    for (size_t i = 0; i < c->n_schemes; i++) {
        const struct compared *s = &c->schemes[i];
        const struct score *k = &s->score;
        char label[SCHEME_TEXT_MAX + 8];
        if (!s->done) continue;
        label_of(s, label);
        printf("%-*s", width, label);
        print_column(14, score_perplexity(k), score_perplexity(k) * moments_error(&k->nll), false);
        if (i == 0) {
            puts("    the reference");
            continue;
        }
        print_column(16, k->delta.mean, moments_error(&k->delta), true);
        print_column(18, k->kl.mean, moments_error(&k->kl), false);
        printf(" %4.0f%%\n", 100 * score_agreement(k));
    }
    putchar('\n');
}

static void print_rate(int width, double rate)
{
    if (isfinite(rate))
        printf(" %*.0f", width, rate);
    else
        printf(" %*s", width, "-");
}

static void print_cost(const struct comparison *c, int width)
{
    printf("%-*s %10s %5s %7s %7s %9s %8s %6s\n", width, "scheme", "bytes", "bits", "KL 99 %", "KL max",
           "prefill/s", "decode/s", "sec.");
    for (size_t i = 0; i < c->n_schemes; i++) {
        const struct compared *s = &c->schemes[i];
        char label[SCHEME_TEXT_MAX + 8];
        if (!s->done) continue;
        label_of(s, label);
        printf("%-*s %10llu %5.2f", width, label, (unsigned long long)s->bytes,
               8 * (double)s->bytes / (double)s->parameters);
        if (i == 0)
            printf(" %7s %7s", "0", "0");
        else
            printf(" %7.1e %7.1e", s->kl_p99, s->score.kl_max);
        print_rate(9, s->prefill_rate);
        print_rate(8, s->decode_rate);
        printf(" %6.1f\n", s->seconds);
    }
}

/* The error of the weight that makes an intermediate. NaN if there is none. */
static double weight_behind(const struct compared *s, const char *name)
{
    char weight[64];
    snprintf(weight, sizeof weight, "%s.weight",
             !strcmp(name, "embed") || !strcmp(name, "logits") ? "wte" : name);
    for (size_t i = 0; i < s->n_weights; i++)
        if (!strcmp(s->weights[i].name, weight)) return s->weights[i].relative_error;
    return (double)NAN;
}

static void print_share(double x)
{
    if (isnan(x))
        printf(" %10s", "");
    else
        printf(" %10.5f", x);
}

static void print_ledger(const struct compared *s)
{
    const struct ledger *all = &s->ledgers[LEDGER_ACCUMULATED], *own = &s->ledgers[LEDGER_LOCAL];
    char label[SCHEME_TEXT_MAX + 8];
    label_of(s, label);
    printf("\n%s, relative error (local: each part fed with the reference's input)\n", label);
    printf("  %-16s %10s %10s %10s %10s %8s\n", "intermediate", "weight", "local", "accumulated", "cosine",
           "SNR, dB");
    for (size_t i = 0; i < all->n && i < own->n; i++) {
        const struct ledger_line *l = &all->lines[i];
        printf("  %-16s", l->name);
        print_share(weight_behind(s, l->name));
        print_share(ledger_relative_error(&own->lines[i]));
        print_share(ledger_relative_error(l));
        print_share(ledger_cosine(l));
        if (isfinite(ledger_snr_db(l)))
            printf(" %8.1f\n", ledger_snr_db(l));
        else
            printf(" %8s\n", "exact");
    }
}

bool compare_rounds_levels(const struct compared *s)
{
    struct scheme scheme;
    return strcmp(s->activations, "f32") != 0 && !scheme_parse(s->scheme, &scheme, NULL) &&
           format_rounds_levels(scheme.format);
}

/* What an integer product changes beyond the inputs. */
static void print_rounded_levels(const struct comparison *c)
{
    for (size_t i = 0; i < c->n_schemes; i++) {
        const struct compared *s = &c->schemes[i];
        if (!s->done || !compare_rounds_levels(s)) continue;
        printf("\n%s@%s: the levels are rounded to int8. @f32 has them as they are.\n", s->scheme,
               s->activations);
    }
}

void compare_print(const struct comparison *c)
{
    int width = widest_label(c);
    if (!c->schemes->done) return;
    const char *slash = strrchr(c->text, '/');
    char name[SAFE_NAME], text[SAFE_NAME];
    printf("%s, %zu tokens of %s in windows of %d\n\n", safe_name(c->name, name),
           windows_count(&c->windows) * (size_t)c->windows.window,
           safe_name(slash ? slash + 1 : c->text, text), (int)c->windows.window);
    print_completions(c, width);
    print_quality(c, width);
    print_cost(c, width);
    print_rounded_levels(c);
    compare_print_bought(c);
    for (size_t i = 1; i < c->n_schemes; i++)
        if (c->schemes[i].done && c->layers) print_ledger(&c->schemes[i]);
}
