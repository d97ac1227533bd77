#include "app/compare/page.h"
#include "app/compare/svg.h"
#include <stdarg.h>
#include <string.h>

const char *page_classes(size_t scheme, char text[CLASSES_TEXT])
{
    size_t others = PAGE_COLOURS - 1, colour = scheme ? (scheme - 1) % others + 1 : 0;
    size_t line = scheme ? (scheme - 1) / others % 5 : 0;
    snprintf(text, CLASSES_TEXT, "s%zu k%zu", colour, line);
    return text;
}

void page_label(const struct compared *s, char label[LABEL_TEXT])
{
    bool plain = !strcmp(s->activations, "f32");
    snprintf(label, LABEL_TEXT, "%s%s%s", s->scheme, plain ? "" : "@", plain ? "" : s->activations);
}

void page_key(FILE *f, const struct comparison *c, size_t scheme)
{
    char label[LABEL_TEXT], classes[CLASSES_TEXT];
    page_label(&c->schemes[scheme], label);
    fprintf(f, "<i class=\"key %s\"></i>", page_classes(scheme, classes));
    html_text(f, label, strlen(label));
}

void page_figure(FILE *f, const struct comparison *c, size_t first, const char *heading, bool wide)
{
    fprintf(f, "<figure%s>\n<h2>%s</h2>\n", wide ? " class=\"wide\"" : "", heading);
    if (first == c->n_schemes) return;
    fputs("<div class=\"legend\">", f);
    for (size_t i = first; i < c->n_schemes; i++) {
        fputs("<span>", f);
        page_key(f, c, i);
        fputs("</span>", f);
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
