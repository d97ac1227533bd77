/* Every intermediate of a forward pass against Hugging Face's, layer by layer. The first wrong one is
 * named. */
#include "tests/golden/golden.h"
#include "model/safetensors.h"
#include <math.h>

/* Relative to the largest logit: what float32 may differ by. Hugging Face's own float32 is within 2e-6 of
 * float64 here. */
#define LOGITS_TOLERANCE 5e-6
/* Of the largest value of an intermediate. */
#define INTERMEDIATE_TOLERANCE 2e-5

struct comparison {
    struct safetensors golden;
    char first_wrong[256];
    double worst;
    size_t seen;
};

static void compare(void *user, const char *name, float *data, int32_t rows_first, int32_t rows, int32_t cols)
{
    struct comparison *c = user;
    const struct st_tensor *t = safetensors_find(&c->golden, name);
    if (!t) {
        if (!*c->first_wrong)
            snprintf(c->first_wrong, sizeof c->first_wrong, "%s is not in the golden file", name);
        return;
    }
    assert_int_equal(rows_first, 0);
    assert_int_equal(t->dtype, ST_F32);
    assert_int_equal(t->size, (size_t)rows * (size_t)cols * sizeof(float));
    double largest = 0, difference = 0;
    for (size_t i = 0; i < (size_t)rows * (size_t)cols; i++) {
        float want;
        memcpy(&want, t->data + i * sizeof want, sizeof want);
        double d = fabs((double)data[i] - (double)want);
        if (!(d <= difference)) difference = d;
        if (fabs((double)want) > largest) largest = fabs((double)want);
    }
    double relative = difference / largest,
           allowed = strcmp(name, "logits") ? INTERMEDIATE_TOLERANCE : LOGITS_TOLERANCE;
    if (!(relative <= allowed) && !*c->first_wrong)
        snprintf(c->first_wrong, sizeof c->first_wrong,
                 "%s differs by %.2g of its largest value, %.2g allowed", name, relative, allowed);
    if (!strcmp(name, "logits")) c->worst = relative;
    c->seen++;
}

static void check_directory(const char *directory, const char *golden)
{
    gpt2q_error err;
    struct comparison c = {0};
    if (safetensors_open(golden, &c.golden, &err)) fail_msg("%s", err.message);
    const struct st_tensor *t = safetensors_find(&c.golden, "input_ids");
    assert_non_null(t);
    int32_t ids[64], n = (int32_t)t->shape[0];
    assert_in_range(n, 1, 64);
    for (int32_t i = 0; i < n; i++) {
        int64_t id;
        memcpy(&id, t->data + (size_t)i * sizeof id, sizeof id);
        ids[i] = (int32_t)id;
    }
    struct runner r = runner_open(directory, (struct run_settings){.scheme = "f32", .n_outputs = n});
    gpt2q_context_observe(r.ctx, compare, &c);
    runner_decode(&r, ids, (size_t)n, 0, 0, true);
    if (*c.first_wrong) fail_msg("%s: %s", directory, c.first_wrong);
    assert_int_equal(c.seen, c.golden.n_tensors - 1);
    print_message("%s: logits within %.1e of the largest\n", directory, c.worst);
    runner_close(&r);
    safetensors_close(&c.golden);
}

static void check_tiny(const char *name)
{
    char directory[512], golden[600];
    snprintf(directory, sizeof directory, "tests/golden/data/tiny-%s", name);
    const char *path = repo_path(directory);
    snprintf(directory, sizeof directory, "%s", path);
    snprintf(golden, sizeof golden, "%s/golden.safetensors", directory);
    check_directory(directory, golden);
}

static void check_shared_tiny(const char *name)
{
    char directory[512], golden[600];
    snprintf(golden, sizeof golden, "golden/tiny-%s", name);
    need_shared(path, golden);
    snprintf(directory, sizeof directory, "%s", path);
    snprintf(golden, sizeof golden, "%s/golden.safetensors", directory);
    check_directory(directory, golden);
}

#define TINY(function, name)                                                                                 \
    static void function(void **state)                                                                       \
    {                                                                                                        \
        (void)state;                                                                                         \
        check_tiny(name);                                                                                    \
    }
#define SHARED_TINY(function, name)                                                                          \
    static void function(void **state)                                                                       \
    {                                                                                                        \
        (void)state;                                                                                         \
        check_shared_tiny(name);                                                                             \
    }

TINY(relu, "relu")
TINY(silu, "silu")
TINY(gelu, "gelu")
TINY(tanh_, "tanh")
TINY(odd, "odd")
TINY(f16_sharded, "f16-sharded")
TINY(bf16_prefix_masks, "bf16-prefix-masks")
SHARED_TINY(plain, "plain")
SHARED_TINY(untied, "untied")
SHARED_TINY(no_attn_scale, "no-attn-scale")

static void tales(void **state)
{
    (void)state;
    check_directory(repo_path("models/tales-7m"), repo_path("tests/golden/data/tales-7m/trace.safetensors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relu),
        cmocka_unit_test(silu),
        cmocka_unit_test(gelu),
        cmocka_unit_test(tanh_),
        cmocka_unit_test(odd),
        cmocka_unit_test(f16_sharded),
        cmocka_unit_test(bf16_prefix_masks),
        cmocka_unit_test(plain),
        cmocka_unit_test(untied),
        cmocka_unit_test(no_attn_scale),
        cmocka_unit_test(tales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
