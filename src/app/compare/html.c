/* The page: one file that needs no network and no script, readable at the width of a telephone, in light and
 * dark. */
#include "app/compare/html.h"
#include "base/file.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#fbfaf7;--card:#fff;--ink:#1f2328;--soft:#5b6370;--grid:#e4e2dc;--rule:#b9b6ad;"
    "--mark:#fff1c2;--c0:#6b7280;--c1:#2563b8;--c2:#c2570c;--c3:#16794c;--c4:#7c3aa8;--c5:#b4235a;--c6:#"
    "0e7490;--c7:#806000}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14161a;--card:#1c1f25;--ink:#e7e6e1;--soft:#a3a9b4;--grid:"
    "#2d3139;"
    "--rule:#555b66;--mark:#4a3d12;--c0:#9aa1ad;--c1:#74a8f0;--c2:#f0944d;--c3:#56c596;--c4:#c08df0;--c5:#"
    "f07aa6;--c6:#4cc3dc;"
    "--c7:#d4b14a}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 "
    "system-ui,sans-serif}\n"
    "main{max-width:1160px;margin:0 auto;padding:20px 14px "
    "60px}h1{font-size:1.7rem;line-height:1.2;margin:.4em 0 .2em}\n"
    "h2{font-size:1.1rem;margin:0 0 .5em}p{margin:.5em "
    "0}.note,.legend,figcaption,footer{color:var(--soft);font-size:.88rem}\n"
    "code{font:0.92em "
    "ui-monospace,monospace;overflow-wrap:anywhere}section,figure{background:var(--card);border:1px solid "
    "var(--grid);"
    "border-radius:10px;padding:16px;margin:0 0 16px}figure{min-width:0}\n"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:16px}.plots "
    "figure{margin:0}\n"
    ".wide{grid-column:1/"
    "-1}.many{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:14px}\n"
    "svg{display:block;width:100%;height:auto;font-family:system-ui,sans-serif}figcaption{margin-top:.7em}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:2px 14px;margin:0 0 .5em}.legend "
    "span::before{content:\"\";display:inline-block;"
    "width:.75em;height:.75em;border-radius:2px;margin-right:.4em;background:var(--c)}\n"
    ".tick{font-size:10px;fill:var(--soft)}.axis{font-size:10.5px;fill:var(--soft)}.name{font-size:11px;fill:"
    "var(--ink);"
    "font-weight:600}.grid{stroke:var(--grid)}.base{stroke:var(--rule)}.dash{stroke:var(--c0);stroke-"
    "dasharray:3 3}\n"
    ".fill,.dot,.solid{fill:var(--c)}.area{fill:var(--c);fill-opacity:.16;stroke:var(--c);stroke-width:1.4}\n"
    ".curve{fill:none;stroke:var(--c);stroke-width:1.6;stroke-linejoin:round}.whisker{stroke:var(--c);stroke-"
    "width:2}\n"
    ".mean{stroke:var(--c);stroke-width:1.4;stroke-dasharray:4 3}.solid{fill-opacity:.8}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.35em 1em;margin:.4em 0 "
    "1em}dt{color:var(--c);font-weight:600;"
    "font-size:.88rem;padding-top:.12em}dd{margin:0;overflow-wrap:anywhere}mark{background:var(--mark);color:"
    "inherit;border-radius:3px;"
    "box-decoration-break:clone;-webkit-box-decoration-break:clone;padding:.05em "
    ".15em}.nl{color:var(--soft)}\n"
    "table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}th,td{text-"
    "align:right;"
    "white-space:nowrap;padding:.35em .4em;border-bottom:1px solid "
    "var(--grid)}th:first-child,td:first-child{text-align:left;color:var(--c);font-weight:600}"
    "thead th{white-space:normal;vertical-align:bottom;color:var(--soft)!important;font-weight:500}\n"
    "@media(max-width:760px){dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.6em}thead{display:none}"
    "table,tbody,tr,td{display:block}"
    "tr{padding:.5em 0;border-bottom:1px solid "
    "var(--grid)}td{display:flex;justify-content:space-between;gap:1em;border:0;padding:.1em 0}"
    "td::before{content:attr(data-of);color:var(--soft)}td:first-child::before{content:none}}\n";

int page_colour(size_t scheme) { return scheme == 0 ? 0 : (int)((scheme - 1) % (PAGE_COLOURS - 1)) + 1; }

void page_label(const struct compared *s, char label[SCHEME_TEXT_MAX + 8])
{
    bool plain = !strcmp(s->activations, "f32");
    snprintf(label, SCHEME_TEXT_MAX + 8, "%s%s%s", s->scheme, plain ? "" : "@", plain ? "" : s->activations);
}

void page_figure(FILE *f, const struct comparison *c, size_t first, const char *heading)
{
    char label[SCHEME_TEXT_MAX + 8];
    fprintf(f, "<figure%s>\n<h2>%s</h2>\n", first == c->n_schemes ? " class=\"wide\"" : "", heading);
    if (first == c->n_schemes) return;
    fputs("<div class=\"legend\">", f);
    for (size_t i = first; i < c->n_schemes; i++) {
        page_label(&c->schemes[i], label);
        fprintf(f, "<span class=\"s%d\">%s</span>", page_colour(i), label);
    }
    fputs("</div>\n", f);
}

void page_caption(FILE *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("<figcaption>", f);
    vfprintf(f, format, args);
    fputs("</figcaption>\n</figure>\n", f);
    va_end(args);
}

static void write_head(FILE *f, const struct comparison *c)
{
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          f);
    html_text(f, c->name, strlen(c->name));
    fprintf(f, ": what quantization did</title>\n<style>\n%s", style);
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
    char label[SCHEME_TEXT_MAX + 8];
    if (!c->schemes->completions) return;
    fputs("<section>\n<h2>Every scheme's own text</h2>\n", f);
    for (size_t p = 0; p < c->n_prompts; p++) {
        fputs("<p>Prompt: \xE2\x80\x9C", f);
        html_text(f, c->prompts[p], strlen(c->prompts[p]));
        fputs("\xE2\x80\x9D</p>\n<dl>\n", f);
        for (size_t i = 0; i < c->n_schemes; i++) {
            const struct completion *k = &c->schemes[i].completions[p];
            size_t split = i && k->first_divergence >= 0 ? k->mark : k->text_len;
            page_label(&c->schemes[i], label);
            fprintf(f, "<dt class=\"s%d\">%s</dt><dd>", page_colour(i), label);
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

static void write_row(FILE *f, const struct compared *s, size_t i)
{
    char label[SCHEME_TEXT_MAX + 8];
    page_label(s, label);
    fprintf(f, "<tr class=\"s%d\">", page_colour(i));
    cell(f, "scheme", "%s", label);
    cell(f, "MB", "%.2f", (double)s->bytes / 1e6);
    cell(f, "bits a weight", "%.2f", 8 * (double)s->bytes / (double)s->parameters);
    cell(f, "perplexity", "%.3f", score_perplexity(&s->score));
    if (i == 0) {
        cell(f, "nll, difference", "reference");
        cell(f, "KL, mean", "0");
        cell(f, "KL, 99 %", "0");
    } else {
        cell(f, "nll, difference", "%+.4f &plusmn; %.4f", s->score.delta.mean,
             moments_error(&s->score.delta));
        cell(f, "KL, mean", "%.2g &plusmn; %.1g", s->score.kl.mean, moments_error(&s->score.kl));
        cell(f, "KL, 99 %", "%.2g", s->kl_p99);
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
          "<th>nll, difference</th><th>KL, mean</th><th>KL, 99 %</th><th>same token</th><th>prefill, "
          "tokens/s</th>"
          "<th>decode, tokens/s</th></tr></thead>\n<tbody>\n",
          f);
    for (size_t i = 0; i < c->n_schemes; i++) write_row(f, &c->schemes[i], i);
    fputs("</tbody>\n</table>\n<p class=\"note\">nll: negative log-likelihood of a token, in nats; "
          "perplexity is its exponential. After "
          "&plusmn; stands one standard error. Same token: how often the scheme finds the same token "
          "likeliest. Prefill reads the text "
          "with the logits of every position; decode writes one sequence.</p>\n</section>\n",
          f);
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
    if (c->n_schemes > 1) plot_divergence(w.stream, c);
    plot_ledger(w.stream, c, LEDGER_ACCUMULATED);
    plot_ledger(w.stream, c, LEDGER_LOCAL);
    plot_weights(w.stream, c);
    fprintf(w.stream, "</div>\n<footer><p>gpt2q %s</p></footer>\n</main>\n</body>\n</html>\n",
            gpt2q_version());
    return file_writer_commit(&w, &err) ? failed(&err) : EXIT_DONE;
}
