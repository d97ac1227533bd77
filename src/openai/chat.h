/* Chats without a template: messages joined as a script, `--chat plain`. GPT-2 knows no chats; this is for tools that speak nothing
 * else. "System: ..", "User: ..", "Assistant: ..", a line each, and "Assistant:" to go on from; "\nUser:" stops. */
#ifndef OPENAI_CHAT_H
#define OPENAI_CHAT_H
#include "openai/answer.h"

/* As openai_request_read, of the body of /v1/chat/completions. */
gpt2q_status openai_chat_read(const cJSON *body, const struct openai_rules *rules, struct openai_request *out,
                              struct openai_error *err);
/* {"index", "message", "logprobs", "finish_reason", ..} without its index. */
bool openai_chat_choice_make(struct openai_choice *choice, const gpt2q_model *model,
                             const struct openai_request *r, int32_t sample, const gpt2q_result *result);
#endif
