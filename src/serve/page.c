/* The page is four files. The Makefile makes them part of the program. The page asks no other server. */
#include "base/memory.h"
#include "base/sha256.h"
#include "serve/routes.h"
#include <stdio.h>
#include <string.h>

extern const char page_index_html[], page_app_js[], page_style_css[], page_favicon_svg[];

static const struct page_file {
    const char *path, *type, *text;
} files[] = {{"/", "text/html; charset=utf-8", page_index_html},
             {"/app.js", "text/javascript; charset=utf-8", page_app_js},
             {"/style.css", "text/css; charset=utf-8", page_style_css},
             {"/favicon.svg", "image/svg+xml", page_favicon_svg}};

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
    "'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static void etag_of(const char *text, char tag[40])
{
    struct sha256 sha;
    char digest[SHA256_TEXT];
    sha256_begin(&sha);
    sha256_add(&sha, text, strlen(text));
    snprintf(tag, 40, "\"%.24s\"", sha256_print(&sha, digest));
}

void endpoint_page(struct server *s, struct visit *v, struct http_request *r)
{
    struct reply reply;
    char tag[40];
    const struct reply_context context = visit_context(v);
    const struct page_file *file = &files[0];
    const char *known = http_header(r, "If-None-Match");
    if (s->options->no_page) {
        visit_refuse(v, r, "not_found", NULL, 0, "this server shows no page (--no-page)");
        return;
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (!strcmp(files[i].path, v->route->path)) file = &files[i];
    etag_of(file->text, tag);
    reply_begin(&reply, &context, file->type);
    reply_header(&reply, "Content-Security-Policy", "%s", policy);
    reply_header(&reply, "Cache-Control", "no-cache");
    reply_header(&reply, "ETag", "%s", tag);
    v->status = known && !strcmp(known, tag) ? 304 : 200;
    http_answer(r, v->status, reply.headers, reply.n, file->text, v->status == 304 ? 0 : strlen(file->text));
}
