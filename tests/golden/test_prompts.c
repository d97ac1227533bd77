/* Greedy continuations of the default model against Hugging Face's: ids are equal up to the first
 * near-tie. Also the five best log-probabilities after the prompt, and the ids of the prompts. */
#include "tests/golden/golden.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include <math.h>

#define NEAR_TIE 2e-3 /* below this margin between the two best logits either may win */

struct reply {
    int32_t ids[64], prompt_ids[512];
    size_t n_ids, n_prompt, n_positions;
    gpt2q_token_logprob top[5];
};

static void on_end(void *user, uint64_t request, int32_t sample, const gpt2q_result *r)
{
    (void)request, (void)sample;
    struct reply *reply = user;
    assert_in_range(r->n_ids, 1, 64);
    memcpy(reply->ids, r->ids, r->n_ids * sizeof *r->ids);
    reply->n_ids = r->n_ids;
    reply->n_prompt = r->n_prompt;
    memcpy(reply->prompt_ids, r->prompt_ids, r->n_prompt * sizeof *r->prompt_ids);
    reply->n_positions = r->n_positions;
    memcpy(reply->top, r->positions[0].top, sizeof reply->top);
}

static void check_row(const cJSON *row, gpt2q_scheduler *scheduler)
{
    gpt2q_error err;
    struct reply reply = {0};
    const char *prompt = cJSON_GetObjectItem(row, "prompt")->valuestring;
    const cJSON *ids = cJSON_GetObjectItem(row, "ids"), *greedy = cJSON_GetObjectItem(row, "greedy_ids"),
                *margins = cJSON_GetObjectItem(row, "margins");
    const cJSON *top5 = cJSON_GetObjectItem(row, "top5");
    gpt2q_request request = gpt2q_request_default();
    request.prompt = prompt;
    request.prompt_len = strlen(prompt);
    request.max_tokens = 48;
    request.n_logprobs = 5;
    request.on_end = on_end;
    request.user = &reply;
    if (gpt2q_scheduler_submit(scheduler, &request, NULL, &err)) fail_msg("%s", err.message);
    for (bool busy = true; busy;)
        if (gpt2q_scheduler_step(scheduler, &busy, &err)) fail_msg("%s", err.message);

    assert_int_equal(reply.n_prompt, cJSON_GetArraySize(ids));
    for (int i = 0; i < (int)reply.n_prompt; i++)
        assert_int_equal(reply.prompt_ids[i], (int)cJSON_GetArrayItem(ids, i)->valuedouble);
    for (int i = 0; i < 5; i++) {
        const cJSON *pair = cJSON_GetArrayItem(top5, i);
        double want = cJSON_GetArrayItem(pair, 1)->valuedouble;
        if (fabs((double)reply.top[i].logprob - want) > 1e-4)
            fail_msg("'%s': logprob %d is %.6f, golden %.6f", prompt, i, (double)reply.top[i].logprob, want);
    }
    int n = cJSON_GetArraySize(greedy);
    for (int i = 0; i < n; i++) {
        if (cJSON_GetArrayItem(margins, i)->valuedouble < NEAR_TIE) return;
        if (i >= (int)reply.n_ids || reply.ids[i] != (int)cJSON_GetArrayItem(greedy, i)->valuedouble)
            fail_msg("'%s': token %d is %d, golden %d", prompt, i,
                     i < (int)reply.n_ids ? (int)reply.ids[i] : -1,
                     (int)cJSON_GetArrayItem(greedy, i)->valuedouble);
    }
    assert_int_equal(reply.n_ids, n);
}

static void greedy_ids(void **state)
{
    (void)state;
    gpt2q_error err;
    gpt2q_model *model;
    gpt2q_context *ctx;
    gpt2q_scheduler *scheduler;
    gpt2q_model_params mp = gpt2q_model_params_default();
    mp.scheme = "f32";
    if (gpt2q_model_open(repo_path("models/tales-7m"), &mp, &model, &err)) fail_msg("%s", err.message);
    if (gpt2q_context_create(model, NULL, &ctx, &err)) fail_msg("%s", err.message);
    gpt2q_scheduler_params sp = gpt2q_scheduler_params_default();
    sp.n_rows = 1;
    if (gpt2q_scheduler_create(ctx, &sp, &scheduler, &err)) fail_msg("%s", err.message);
    char *text;
    size_t n;
    int rows = 0;
    if (file_read(repo_path("tests/golden/data/tales-7m/prompts.jsonl"), 1 << 20, &text, &n, &err))
        fail_msg("%s", err.message);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), rows++) {
        cJSON *row;
        if (json_parse(line, strlen(line), "prompts.jsonl", &row, &err)) fail_msg("%s", err.message);
        check_row(row, scheduler);
        cJSON_Delete(row);
    }
    assert_int_equal(rows, 27);
    mem_free(text);
    gpt2q_scheduler_free(scheduler);
    gpt2q_context_free(ctx);
    gpt2q_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(greedy_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
