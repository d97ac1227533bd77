/* Bodies of /v1/completions, chats, /tokenize and /detokenize; and the event writer fed with any bytes in any pieces: the texts of
 * the events, joined, are the text in one piece. */
#include "base/json.h"
#include "base/memory.h"
#include "openai/chat.h"
#include "openai/stream.h"
#include "openai/tokens.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void read_bodies(const char *text, size_t n)
{
    static const struct openai_rules rules = {.prompts = {.many = true, .most = 8, .vocab_size = 8193},
                                              .streams = true,
                                              .max_tokens = 100,
                                              .most_choices = 64,
                                              .most_tokens = 100000,
                                              .default_max_tokens = 512};
    struct openai_request r;
    struct openai_error err = {0};
    struct tokens_request t;
    gpt2q_error why;
    cJSON *tree;
    if (!json_parse(text, n, NULL, &tree, &why)) {
        for (int chat = 0; chat < 2; chat++) {
            gpt2q_status s = (chat ? openai_chat_read : openai_request_read)(tree, &rules, &r, &err);
            assert(s ? err.code && *err.error.message : r.n_prompts >= 1 && r.request.max_tokens <= 100);
            openai_request_free(&r);
        }
        cJSON_Delete(tree);
    }
    tokenize_read(text, n, &t, &err);
    tokens_request_free(&t);
    detokenize_read(text, n, &t, &err);
    tokens_request_free(&t);
}

/* The text of an event's choice, or of a whole one. */
static char *text_of(const char *json, size_t *n)
{
    cJSON *tree = cJSON_Parse(json);
    assert(tree);
    const cJSON *choice = cJSON_GetArrayItem(cJSON_GetObjectItem(tree, "choices"), 0);
    char *text = mem_strdup(cJSON_GetObjectItem(choice ? choice : tree, "text")->valuestring);
    cJSON_Delete(tree);
    *n = strlen(text);
    return text;
}

static size_t add_event(struct openai_stream *s, char *joined, size_t at)
{
    static const struct openai_head head = {.id = "i", .model = "m"};
    struct json_writer w = {0};
    size_t n;
    openai_stream_event(s, &head, NULL, &w);
    char *json = json_finish(&w), *text = text_of(json, &n);
    memcpy(joined + at, text, n + 1);
    mem_free(json), mem_free(text);
    return at + n;
}

/* The first byte says where pieces end; a NUL is left out, for the comparison is of terminated texts. */
static void write_events(const uint8_t *data, size_t n)
{
    struct prompt prompt = {.text = (char[]){"p"}, .n = 1};
    struct openai_request r = {.prompts = &prompt,
                               .n_prompts = 1,
                               .n = 1,
                               .logprobs = -1,
                               .prompt_logprobs = -1,
                               .request = gpt2q_request_default()};
    struct openai_stream s;
    size_t step = 1 + data[0] % 7, at = 0, length;
    char *bytes = malloc(n), *joined = calloc(3, n + 8);
    size_t m = 0;
    for (size_t i = 1; i < n; i++)
        if (data[i]) bytes[m++] = (char)data[i];
    openai_stream_begin(&s, NULL, &r, 0, 0, false);
    openai_stream_prompt(&s, &(int32_t){1}, 1);
    for (size_t i = 0; i < m; i += step) {
        openai_stream_token(&s, &(gpt2q_position){.id = 1});
        openai_stream_text(&s, bytes + i, m - i < step ? m - i : step);
        if (i % 3 && openai_stream_has_event(&s)) at = add_event(&s, joined, at);
    }
    openai_stream_end(&s, &(gpt2q_result){.prompt_ids = &(int32_t){1}, .n_prompt = 1, .stop_id = -1});
    assert(openai_stream_has_event(&s));
    add_event(&s, joined, at);
    assert(!openai_stream_has_event(&s));
    struct json_writer w = {0};
    json_open(&w, '{'), json_key(&w, "text"), json_put_bytes(&w, bytes, m), json_close(&w, '}');
    char *json = json_finish(&w), *whole = text_of(json, &length);
    assert(!strcmp(joined, whole));
    mem_free(json), mem_free(whole);
    openai_stream_free(&s);
    free(bytes), free(joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    read_bodies((const char *)data, n);
    if (n > 0 && n < 4096) write_events(data, n);
    return 0;
}
