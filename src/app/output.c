/* What programs and terminals read: JSON and text, always valid UTF-8. */
#include "app/common.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void exit_out_of_memory(void)
{
    fprintf(stderr, "gpt2q: out of memory while writing results\n");
    exit(EXIT_FAILED);
}

static void *need(void *p)
{
    if (!p) exit_out_of_memory();
    return p;
}

/* cJSON's strings end at NUL, which a completion may hold: such a text is escaped here. */
static cJSON *text_with_nul(const char *text, size_t n)
{
    char *raw = need(mem_alloc(n * 6 + 3)), *p = raw;
    *p++ = '"';
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            p += sprintf(p, "\\%c", c);
        else if (c < 0x20)
            p += sprintf(p, "\\u%04x", c);
        else
            *p++ = (char)c;
    }
    strcpy(p, "\"");
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

static cJSON *json_logprob(int32_t id, float logprob)
{
    cJSON *entry = need(cJSON_CreateObject());
    cJSON_AddItemToObject(entry, "id", need(cJSON_CreateNumber(id)));
    cJSON_AddItemToObject(entry, "logprob", json_real((double)logprob));
    return entry;
}

cJSON *json_logprobs(const gpt2q_position *positions, size_t n, int32_t k)
{
    cJSON *array = need(cJSON_CreateArray());
    for (size_t i = 0; i < n; i++) {
        const gpt2q_position *p = &positions[i];
        if (!p->top) { /* the first token of a prompt has no probability */
            cJSON_AddItemToArray(array, need(cJSON_CreateNull()));
            continue;
        }
        cJSON *entry = json_logprob(p->id, p->logprob), *top = need(cJSON_AddArrayToObject(entry, "top"));
        for (int32_t j = 0; j < k; j++)
            cJSON_AddItemToArray(top, json_logprob(p->top[j].id, p->top[j].logprob));
        cJSON_AddItemToArray(array, entry);
    }
    return array;
}

void json_print(cJSON *document)
{
    char *text = need(cJSON_PrintUnformatted(document));
    puts(text);
    cJSON_free(text);
    cJSON_Delete(document);
}

void print_text(const char *bytes, size_t n)
{
    size_t length;
    char *text = need(utf8_sanitize(bytes, n, &length));
    fwrite(text, 1, length, stdout);
    mem_free(text);
}
