#include "openai/chat.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>

#define MESSAGES_MAX 4096

static const char *const roles[][2] = {
    {"system", "System"}, {"developer", "System"}, {"user", "User"}, {"assistant", "Assistant"}};

static gpt2q_status bad(struct openai_error *err, size_t i, const char *field, const char *expected)
{
    char path[48];
    snprintf(path, sizeof path, "messages[%zu]%s", i, field);
    return openai_error_set(err, GPT2Q_FORMAT, "invalid_value", path, "%s must be %s", path, expected);
}

/* The text of a message: a string, or parts that are all text. */
static gpt2q_status append_content(char *to, size_t *at, const cJSON *content, size_t i,
                                   struct openai_error *err)
{
    if (cJSON_IsString(content)) {
        if (to) memcpy(to + *at, content->valuestring, strlen(content->valuestring));
        *at += strlen(content->valuestring);
        return GPT2Q_OK;
    }
    if (!cJSON_IsArray(content)) return bad(err, i, ".content", "a text, or an array of text parts");
    for (const cJSON *part = content->child; part; part = part->next) {
        const cJSON *type = cJSON_GetObjectItemCaseSensitive(part, "type"),
                    *text = cJSON_GetObjectItemCaseSensitive(part, "text");
        if (!cJSON_IsString(type) || strcmp(type->valuestring, "text") || !cJSON_IsString(text))
            return bad(err, i, ".content", "of text parts only: no images, no files");
        if (to) memcpy(to + *at, text->valuestring, strlen(text->valuestring));
        *at += strlen(text->valuestring);
    }
    return GPT2Q_OK;
}

static void append(char *to, size_t *at, const char *text)
{
    if (to) memcpy(to + *at, text, strlen(text));
    *at += strlen(text);
}

/* `to` NULL: only counts. */
static gpt2q_status join(const cJSON *messages, char *to, size_t *n, struct openai_error *err)
{
    size_t i = 0;
    *n = 0;
    for (const cJSON *m = messages->child; m; m = m->next, i++) {
        const cJSON *role = cJSON_GetObjectItemCaseSensitive(m, "role");
        const char *name = NULL;
        for (size_t k = 0; cJSON_IsString(role) && k < sizeof roles / sizeof *roles; k++)
            if (!strcmp(role->valuestring, roles[k][0])) name = roles[k][1];
        if (!name) return bad(err, i, ".role", "system, developer, user or assistant");
        append(to, n, name), append(to, n, ": ");
        gpt2q_status s = append_content(to, n, cJSON_GetObjectItemCaseSensitive(m, "content"), i, err);
        if (s) return s;
        append(to, n, "\n");
    }
    append(to, n, "Assistant:");
    return GPT2Q_OK;
}

static gpt2q_status read_messages(const cJSON *messages, struct openai_request *out, struct openai_error *err)
{
    size_t n;
    if (!cJSON_IsArray(messages) || !messages->child || cJSON_GetArraySize(messages) > MESSAGES_MAX)
        return openai_error_set(err, GPT2Q_FORMAT, "invalid_value", "messages",
                                "messages must be an array of 1 to %d messages", MESSAGES_MAX);
    gpt2q_status s = join(messages, NULL, &n, err);
    if (s) return s;
    char *text = mem_zalloc(n + 1);
    if (!text)
        return openai_error_set(err, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL,
                                "out of memory: a chat of %zu bytes", n);
    join(messages, text, &n, err);
    mem_free(out->prompts[0].text);
    out->prompts[0].text = text;
    out->prompts[0].n = n;
    return GPT2Q_OK;
}

/* The fields of a completion, from those of a chat: logprobs is true or false there, top_logprobs the number. */
static cJSON *as_completion(const cJSON *body)
{
    cJSON *copy = cJSON_Duplicate(body, true);
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(copy, "messages");
    cJSON_Delete(item);
    cJSON *top = cJSON_DetachItemFromObjectCaseSensitive(copy, "top_logprobs");
    const cJSON *asked = cJSON_GetObjectItemCaseSensitive(copy, "logprobs");
    if (top && !cJSON_IsNull(top) && cJSON_IsTrue(asked)) {
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "logprobs");
        cJSON_AddItemToObject(copy, "logprobs", top);
    } else {
        if (cJSON_IsTrue(asked)) {
            cJSON_DeleteItemFromObjectCaseSensitive(copy, "logprobs");
            cJSON_AddNumberToObject(copy, "logprobs", 0);
        }
        cJSON_Delete(top);
    }
    return copy;
}

static gpt2q_status refuse(const cJSON *body, struct openai_error *err)
{
    static const char *const no[] = {"prompt", "echo", "best_of", "prompt_logprobs", "suffix"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(body, no[i]);
        if (item && !cJSON_IsNull(item))
            return openai_error_set(err, GPT2Q_UNSUPPORTED, "unsupported_parameter", no[i],
                                    "%s is no field of a chat", no[i]);
    }
    const cJSON *top = cJSON_GetObjectItemCaseSensitive(body, "top_logprobs");
    if (top && !cJSON_IsNull(top) && !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, "logprobs")))
        return openai_error_set(err, GPT2Q_FORMAT, "invalid_value", "top_logprobs",
                                "top_logprobs must not be given unless logprobs is true");
    const cJSON *logprobs = cJSON_GetObjectItemCaseSensitive(body, "logprobs");
    if (logprobs && !cJSON_IsBool(logprobs) && !cJSON_IsNull(logprobs))
        return openai_error_set(err, GPT2Q_FORMAT, "invalid_type", "logprobs",
                                "logprobs must be true or false in a chat");
    return GPT2Q_OK;
}

static gpt2q_status add_stop(struct openai_request *r, struct openai_error *err)
{
    if (r->request.n_stop == REQUEST_STOPS_MAX) return GPT2Q_OK;
    char *stop = mem_strdup("\nUser:");
    if (!stop)
        return openai_error_set(err, GPT2Q_OUT_OF_MEMORY, "out_of_memory", NULL,
                                "out of memory: a stop string");
    r->stops[r->request.n_stop++] = stop;
    r->request.stop = (const char *const *)r->stops;
    return GPT2Q_OK;
}

gpt2q_status openai_chat_read(const cJSON *body, const struct openai_rules *rules, struct openai_request *out,
                              struct openai_error *err)
{
    *out = (struct openai_request){.request = gpt2q_request_default(), .n = 1};
    if (!cJSON_IsObject(body))
        return openai_error_set(err, GPT2Q_FORMAT, "invalid_type", NULL, "the request must be a JSON object");
    gpt2q_status s = refuse(body, err);
    if (s) return s;
    cJSON *fields = as_completion(body);
    const cJSON *few = cJSON_GetObjectItemCaseSensitive(fields, "max_tokens"),
                *most = cJSON_GetObjectItemCaseSensitive(fields, "max_completion_tokens");
    bool limited = (few && !cJSON_IsNull(few)) || (most && !cJSON_IsNull(most));
    if (!limited && rules->default_max_tokens)
        cJSON_DeleteItemFromObjectCaseSensitive(fields, "max_tokens"),
            cJSON_AddNumberToObject(fields, "max_tokens", rules->default_max_tokens);
    s = openai_request_read(fields, rules, out, err);
    cJSON_Delete(fields);
    if (!s) s = read_messages(cJSON_GetObjectItemCaseSensitive(body, "messages"), out, err);
    return s ? s : add_stop(out, err);
}

bool openai_chat_choice_make(struct openai_choice *choice, const gpt2q_model *model,
                             const struct openai_request *r, int32_t sample, const gpt2q_result *result)
{
    struct json_writer w = {0};
    json_key(&w, "message"), json_open(&w, '{');
    json_key(&w, "role"), json_put_string(&w, "assistant");
    json_key(&w, "content"), json_put_bytes(&w, result->text, result->text_len);
    json_close(&w, '}');
    json_key(&w, "logprobs"),
        openai_chat_logprobs_write(&w, model, r, result->positions, result->n_positions);
    openai_finish_write(&w, r, sample, result);
    if (r->return_token_ids) {
        openai_ids_write(&w, "prompt_token_ids", result->prompt_ids, result->n_prompt);
        openai_ids_write(&w, "token_ids", result->ids, result->n_ids);
    }
    choice->fields = json_finish(&w);
    return choice->fields != NULL;
}
