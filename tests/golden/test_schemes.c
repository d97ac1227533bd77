/* Every scheme of the golden file, with and without integer activations: the logits after the first
 * prompt, and greedy continuations of four prompts, against torch on dequantized weights. torch's cache is exact. */
#include "tests/golden/golden.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include <math.h>

#define NEAR_TIE         2e-3 /* below this margin either may win */
#define NEAR_TIE_INTEGER 0.25 /* activation codes may differ by one at ties, there and here */

struct scheme_case {
    char spec[64];
    const char *activations;
    bool rounded; /* activations were rounded to codes */
};

static struct scheme_case case_of(const char *name)
{
    struct scheme_case c = {.activations = "f32"};
    const char *at = strchr(name, '@');
    snprintf(c.spec, sizeof c.spec, "%.*s", at ? (int)(at - name) : (int)strlen(name), name);
    if (at) c.activations = at[1] == 'i' && at[2] == '8' ? "i8" : "i16";
    c.rounded = at != NULL;
    return c;
}

static size_t prompt_ids(struct runner *r, const char *prompt, int32_t *ids)
{
    gpt2q_error err;
    size_t n;
    if (gpt2q_tokenize(r->model, prompt, strlen(prompt), 0, ids, 256, &n, &err)) fail_msg("%s", err.message);
    return n;
}

static void check_logits(struct runner *r, const char *name, const struct scheme_case *c, const cJSON *want)
{
    int32_t ids[256];
    size_t n = prompt_ids(r, "The quick brown fox jumped over the", ids);
    gpt2q_context_truncate(r->ctx, 0, 0);
    runner_decode(r, ids, n, 0, 0, false);
    const float *logits = gpt2q_logits(r->ctx, 0);
    double tolerance = !c->rounded ? 5e-4 : !strcmp(c->activations, "i16") ? 5e-3 : 0.3, worst = 0;
    for (int i = 0; i < cJSON_GetArraySize(want); i++) {
        double d = fabs((double)logits[i] - cJSON_GetArrayItem(want, i)->valuedouble);
        if (!(d <= worst)) worst = d;
    }
    if (!(worst <= tolerance)) fail_msg("%s: a logit differs by %g, %g allowed", name, worst, tolerance);
}

static void check_greedy(struct runner *r, const char *name, const struct scheme_case *c, const cJSON *row)
{
    int32_t ids[256];
    size_t n = prompt_ids(r, row->string, ids);
    const cJSON *want = cJSON_GetObjectItem(row, "ids"), *margins = cJSON_GetObjectItem(row, "margins");
    gpt2q_context_truncate(r->ctx, 0, 0);
    runner_decode(r, ids, n, 0, 0, false);
    for (int i = 0; i < cJSON_GetArraySize(want); i++) {
        int32_t id = gpt2q_argmax(r->ctx, 0), expected = (int32_t)cJSON_GetArrayItem(want, i)->valuedouble;
        if (cJSON_GetArrayItem(margins, i)->valuedouble < (c->rounded ? NEAR_TIE_INTEGER : NEAR_TIE)) return;
        if (id != expected)
            fail_msg("%s, '%s': token %d is %d, golden %d", name, row->string, i, (int)id, (int)expected);
        runner_decode(r, &id, 1, (int32_t)n + i, 0, false);
    }
}

static void schemes(void **state)
{
    (void)state;
    gpt2q_error err;
    char *text;
    size_t n;
    cJSON *golden;
    int seen = 0;
    if (file_read(repo_path("tests/golden/data/tales-7m/schemes.json"), 1 << 20, &text, &n, &err))
        fail_msg("%s", err.message);
    if (json_parse(text, n, "schemes.json", &golden, &err)) fail_msg("%s", err.message);
    const cJSON *entry, *row;
    cJSON_ArrayForEach(entry, golden)
    {
        struct scheme_case c = case_of(entry->string);
        struct runner r =
            runner_open(repo_path("models/tales-7m"),
                        (struct run_settings){.scheme = c.spec, .activations = c.activations, .kv = "f32"});
        check_logits(&r, entry->string, &c, cJSON_GetObjectItem(entry, "logits_last"));
        cJSON_ArrayForEach(row, cJSON_GetObjectItem(entry, "greedy"))
            check_greedy(&r, entry->string, &c, row);
        runner_close(&r);
        seen++;
    }
    assert_int_equal(seen, 22);
    cJSON_Delete(golden);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(schemes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
