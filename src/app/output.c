/* Output for programs and terminals: JSON and text, always valid UTF-8. */
#include "app/common.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "base/terminal_text.h"
#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void exit_out_of_memory(void)
{
    static const char sentence[] = "gpt2q: out of memory while writing results\n";
    file_writer_abort_all();
    fwrite(sentence, 1, sizeof sentence - 1, stderr);
    _exit(EXIT_FAILED);
}

static void *need(void *p)
{
    if (!p) exit_out_of_memory();
    return p;
}

/* cJSON's strings end at NUL, but a completion may contain one. Such a text is written here. */
static cJSON *text_with_nul(const char *text, size_t n)
{
    struct json_writer w = {0};
    json_put_bytes(&w, text, n);
    char *raw = need(json_finish(&w));
    cJSON *item = need(cJSON_CreateRaw(raw));
    mem_free(raw);
    return item;
}

cJSON *json_text(const char *bytes, size_t n)
{
    size_t length;
    char *text = need(utf8_sanitize(bytes, n, &length));
    cJSON *item = memchr(text, 0, length) ? text_with_nul(text, length) : need(cJSON_CreateString(text));
    mem_free(text);
    return item;
}

cJSON *json_ids(const int32_t *ids, size_t n)
{
    cJSON *array = need(cJSON_CreateArray());
    for (size_t i = 0; i < n; i++) cJSON_AddItemToArray(array, need(cJSON_CreateNumber(ids[i])));
    return array;
}

cJSON *json_real(double x) { return need(isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull()); }

void put_ids(struct json_writer *w, const int32_t *ids, size_t n)
{
    json_open(w, '[');
    for (size_t i = 0; i < n; i++) json_put_integer(w, ids[i]);
    json_close(w, ']');
}

static void put_logprob(struct json_writer *w, int32_t id, float logprob)
{
    json_key(w, "id"), json_put_integer(w, id);
    json_key(w, "logprob"), json_put_real(w, (double)logprob);
}

static void put_position(struct json_writer *w, const gpt2q_position *p, int32_t k)
{
    if (!p->top) { /* the first token of a prompt has no probability */
        json_put_null(w);
        return;
    }
    json_open(w, '{');
    put_logprob(w, p->id, p->logprob);
    json_key(w, "top"), json_open(w, '[');
    for (int32_t j = 0; j < k; j++) {
        json_open(w, '{');
        put_logprob(w, p->top[j].id, p->top[j].logprob);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

void put_logprobs(struct json_writer *w, const gpt2q_position *positions, size_t n, int32_t k)
{
    json_open(w, '[');
    for (size_t i = 0; i < n; i++) put_position(w, &positions[i], k);
    json_close(w, ']');
}

cJSON *json_logprobs(const gpt2q_position *positions, size_t n, int32_t k)
{
    struct json_writer w = {0};
    put_logprobs(&w, positions, n, k);
    char *text = need(json_finish(&w));
    cJSON *item = need(cJSON_CreateRaw(text));
    mem_free(text);
    return item;
}

void json_add_interrupted(cJSON *document, bool interrupted)
{
    if (interrupted) cJSON_AddTrueToObject(document, "interrupted");
}

void json_print(cJSON *document)
{
    char *text = need(cJSON_PrintUnformatted(document));
    puts(text);
    cJSON_free(text);
    cJSON_Delete(document);
}

void print_escaped(const char *bytes, size_t n)
{
    char *text = need(mem_alloc(4 * n + 1));
    fwrite(text, 1, terminal_text(text, 4 * n + 1, bytes, n), stdout);
    mem_free(text);
}

/* Ends of lines and tabs go to a terminal as they are. */
static void print_on_terminal(const char *bytes, size_t n)
{
    for (size_t i = 0, end; i < n; i = end + 1) {
        for (end = i; end < n && bytes[end] != '\n' && bytes[end] != '\t'; end++) {
        }
        print_escaped(bytes + i, end - i);
        if (end < n) putchar(bytes[end]);
    }
}

void print_text(const char *bytes, size_t n)
{
    size_t length;
    if (isatty(STDOUT_FILENO)) {
        print_on_terminal(bytes, n);
        return;
    }
    char *text = need(utf8_sanitize(bytes, n, &length));
    fwrite(text, 1, length, stdout);
    mem_free(text);
}
