/* The page: one file that needs no network and no script. It is readable at the width of a telephone, in
 * light and dark. */
#include "app/compare/plots.h"
#include "app/provenance.h"
#include "app/tables.h"
#include "base/threads.h"
#include "qtensor/isa.h"
#include "base/file_writer.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

extern const char page_css[]; /* page.css, made part of the program by the Makefile */

static void write_head(FILE *f, const struct comparison *c)
{
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          f);
    html_text(f, c->name, strlen(c->name));
    fprintf(f, ": what quantization did</title>\n<style>\n%s", page_css);
    for (int i = 0; i < PAGE_COLOURS; i++) fprintf(f, ".s%d{--c:var(--c%d)}", i, i);
    fputs("\n</style>\n</head>\n<body>\n<main>\n<h1>What quantization did to ", f);
    html_text(f, c->name, strlen(c->name));
    fprintf(f, "</h1>\n<p class=\"note\">%zu tokens of <code>",
            windows_count(&c->windows) * (size_t)c->windows.window);
    const char *slash = strrchr(c->text, '/'), *file = slash ? slash + 1 : c->text;
    html_text(f, file, strlen(file));
    fprintf(f,
            "</code> in windows of %d, %llu parameters. Everything is measured beside the first scheme, the "
            "reference.</p>\n",
            (int)c->windows.window, (unsigned long long)c->schemes->parameters);
}

static void write_completions(FILE *f, const struct comparison *c)
{
    if (!c->schemes->completions) return;
    fputs("<section>\n<h2>Every scheme's own text</h2>\n", f);
    for (size_t p = 0; p < c->n_prompts; p++) {
        fputs("<p>Prompt: \xE2\x80\x9C", f);
        html_text(f, c->prompts[p], strlen(c->prompts[p]));
        fputs("\xE2\x80\x9D</p>\n<dl>\n", f);
        for (size_t i = 0; i < c->n_schemes; i++) {
            const struct completion *k = &c->schemes[i].completions[p];
            size_t split = i && k->first_divergence >= 0 ? k->mark : k->text_len;
            fputs("<dt>", f);
            page_key(f, c, i);
            fputs("</dt><dd>", f);
            html_text(f, k->text, split);
            if (split < k->text_len) fputs("<mark>", f);
            html_text(f, k->text + split, k->text_len - split);
            if (split < k->text_len) fputs("</mark>", f);
            if (!k->text_len) fputs("<span class=\"note\">(ends at once)</span>", f);
            fputs("</dd>\n", f);
        }
        fputs("</dl>\n", f);
    }
    fputs("<p class=\"note\">Marked is what differs from the reference. Each token is chosen from all before "
          "it, so after the first that "
          "differs the texts go their own ways: an early mark does not mean a bad model, for two tokens may "
          "have been almost equally "
          "likely. Judge what the marked text says; the figures below judge the rest.</p>\n</section>\n",
          f);
}

__attribute__((format(printf, 3, 4))) static void cell(FILE *f, const char *of, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(f, "<td data-of=\"%s\">", of);
    vfprintf(f, format, args);
    fputs("</td>", f);
    va_end(args);
}

static void write_row(FILE *f, const struct comparison *c, size_t i)
{
    const struct compared *s = &c->schemes[i];
    char text[ERROR_TEXT];
    fputs("<tr><td data-of=\"scheme\">", f);
    page_key(f, c, i);
    fputs("</td>", f);
    cell(f, "MB", "%.2f", (double)s->bytes / 1e6);
    cell(f, "bits a weight", "%.2f", 8 * (double)s->bytes / (double)s->parameters);
    cell(f, "perplexity", "%.3f", score_perplexity(&s->score));
    if (i == 0) {
        cell(f, "nll, difference", "reference");
        cell(f, "KL, mean", "0");
        cell(f, "KL, 99 %", "0");
        cell(f, "KL, largest", "0");
    } else {
        cell(f, "nll, difference", "%s%s", s->score.delta.mean >= 0 ? "+" : "",
             print_with_error(s->score.delta.mean, moments_error(&s->score.delta), " &plusmn; ", text));
        cell(f, "KL, mean", "%s",
             print_with_error(s->score.kl.mean, moments_error(&s->score.kl), " &plusmn; ", text));
        cell(f, "KL, 99 %", "%.2g", s->kl_p99);
        cell(f, "KL, largest", "%.2g", s->score.kl_max);
    }
    cell(f, "same token", "%.1f %%", 100 * score_agreement(&s->score));
    cell(f, "prefill, tokens/s", "%.0f", s->prefill_rate);
    if (isfinite(s->decode_rate))
        cell(f, "decode, tokens/s", "%.0f", s->decode_rate);
    else
        cell(f, "decode, tokens/s", "-");
    fputs("</tr>\n", f);
}

static void write_table(FILE *f, const struct comparison *c)
{
    fputs("<section>\n<h2>In figures</h2>\n<table>\n<thead><tr><th>scheme</th><th>MB</th><th>bits a "
          "weight</th><th>perplexity</th>"
          "<th>nll, difference</th><th>KL, mean</th><th>KL, 99 %</th><th>KL, largest</th><th>same "
          "token</th><th>prefill, "
          "tokens/s</th>"
          "<th>decode, tokens/s</th></tr></thead>\n<tbody>\n",
          f);
    for (size_t i = 0; i < c->n_schemes; i++) write_row(f, c, i);
    fputs("</tbody>\n</table>\n<p class=\"note\">nll: negative log-likelihood of a token, in nats; "
          "perplexity is its exponential. After "
          "&plusmn; stands one standard error. KL: how far the scheme's distribution of the next token is "
          "from the "
          "reference's, in nats. Same token: how often the scheme finds the same token "
          "likeliest. Prefill reads the text "
          "with the logits of every position; decode writes one sequence.</p>\n</section>\n",
          f);
}

/* What a reader needs to believe the figures and to make them again. */
static void write_provenance(FILE *f, const struct comparison *c)
{
    char cpu[96], date[40];
    const struct isa *isa;
    gpt2q_error err;
    read_cpu_name(cpu, sizeof cpu);
    print_date(date, sizeof date);
    int threads = c->options.threads ? (int)c->options.threads : threads_default();
    fputs("<section class=\"made\">\n<h2>How this was made</h2>\n<p>", f);
    html_text(f, cpu, strlen(cpu));
    fprintf(f, ", instruction set %s, %d thread%s; %s; gpt2q %s.</p>\n<p><code>",
            isa_choose(c->options.isa, &isa, &err) ? "unknown" : isa->name, threads, threads == 1 ? "" : "s",
            date, gpt2q_version());
    html_text(f, command_line(), strlen(command_line()));
    fputs("</code></p>\n<details><summary>All figures as JSON</summary>\n<pre id=\"data\">", f);
    cJSON *doc = compare_json(c);
    char *text = cJSON_PrintUnformatted(doc);
    if (!text) exit_out_of_memory();
    html_text(f, text, strlen(text));
    cJSON_free(text);
    cJSON_Delete(doc);
    fputs("</pre></details>\n</section>\n", f);
}

int compare_write_html(const struct comparison *c, const char *path)
{
    gpt2q_error err;
    struct file_writer w;
    if (file_writer_open(&w, path, &err)) return failed(&err);
    write_head(w.stream, c);
    write_completions(w.stream, c);
    write_table(w.stream, c);
    fputs("<div class=\"plots\">\n", w.stream);
    plot_size_and_perplexity(w.stream, c);
    if (c->n_schemes > 1) plot_bits_and_divergence(w.stream, c);
    if (c->n_schemes > 1) plot_divergence(w.stream, c);
    plot_ledger(w.stream, c, LEDGER_ACCUMULATED);
    plot_ledger(w.stream, c, LEDGER_LOCAL);
    plot_bought(w.stream, c);
    plot_weights(w.stream, c);
    fputs("</div>\n", w.stream);
    write_provenance(w.stream, c);
    fputs("</main>\n</body>\n</html>\n", w.stream);
    return file_writer_commit(&w, &err) ? failed(&err) : EXIT_DONE;
}
