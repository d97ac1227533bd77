/* The cost of a pass, counted from shapes: GPT-2 124M against the figures of its published sizes, and how
 * it grows. No weights are needed, so the tensors here have only sizes. */
#include "tests/support.h"
#include "model/cost.h"
#include "model/shape.h"

struct fake {
    struct gpt2_weights weights;
    struct gpt2_block blocks[12];
};

static void shape_tensor(struct qtensor *w, const char *spec, int rows, int cols)
{
    struct qtensor_layout layout;
    assert_int_equal(scheme_parse(spec, &w->scheme, NULL), GPT2Q_OK);
    assert_true(qtensor_layout(w->scheme, rows, cols, &layout));
    w->rows = rows;
    w->cols = cols;
    w->bytes = qtensor_layout_bytes(&layout);
}

static struct fake *fake_124m(struct fake *f, const char *spec)
{
    static const float bias;
    memset(f, 0, sizeof *f);
    struct gpt2_weights *w = &f->weights;
    assert_int_equal(shape_parse("gpt2", &w->config, NULL), GPT2Q_OK);
    w->h = f->blocks;
    for (int i = 0; i < 12; i++) {
        struct gpt2_block *b = &f->blocks[i];
        b->c_attn.bias = b->attn_c_proj.bias = b->c_fc.bias = b->mlp_c_proj.bias = &bias;
        shape_tensor(&b->c_attn.weight, spec, 2304, 768);
        shape_tensor(&b->attn_c_proj.weight, spec, 768, 768);
        shape_tensor(&b->c_fc.weight, spec, 3072, 768);
        shape_tensor(&b->mlp_c_proj.weight, spec, 768, 3072);
    }
    shape_tensor(&w->wte, spec, 50257, 768);
    w->lm_head = w->wte;
    return f;
}

static struct cost decode_cost(const char *spec, enum activations activations, enum kv_format kv, int n,
                               int position)
{
    struct fake f;
    struct batch_token tokens[64];
    struct cost parts[PART_COUNT];
    for (int i = 0; i < n; i++)
        tokens[i] = (struct batch_token){.position = position, .sequence = i, .wants_logits = true};
    cost_of_pass(&fake_124m(&f, spec)->weights, activations, kv, tokens, n, parts);
    return cost_total(parts);
}

static void assert_near(double x, double want, double tolerance)
{
    if (!(x > want * (1 - tolerance) && x < want * (1 + tolerance)))
        fail_msg("%g where about %g is expected", x, want);
}

/* One token reads every weight but the positions' once: 494.6 MB in fp32, a quarter in int8, 4.5 bits a
 * weight in groups of 32. */
static void a_token_reads_the_weights_once(void **state)
{
    (void)state;
    assert_near(decode_cost("f32", ACTIVATIONS_F32, KV_F32, 1, 0).bytes, 494.6e6, 0.002);
    assert_near(decode_cost("f16", ACTIVATIONS_F32, KV_F32, 1, 0).bytes, 494.6e6 / 2, 0.005);
    assert_near(decode_cost("i8", ACTIVATIONS_F32, KV_F32, 1, 0).bytes, 123.7e6, 0.01);
    assert_near(decode_cost("i4:g32", ACTIVATIONS_F32, KV_F32, 1, 0).bytes, 69.6e6, 0.01);
}

/* 36,864 bytes of keys and as many of values a position in fp32. */
static void a_cached_position_is_read_once_a_sequence(void **state)
{
    (void)state;
    double at_64 = decode_cost("i8", ACTIVATIONS_F32, KV_F32, 1, 64).bytes;
    assert_near(decode_cost("i8", ACTIVATIONS_F32, KV_F32, 1, 164).bytes - at_64, 100 * 73728.0, 1e-9);
    assert_near(decode_cost("i8", ACTIVATIONS_F32, KV_F16, 1, 164).bytes -
                    decode_cost("i8", ACTIVATIONS_F32, KV_F16, 1, 64).bytes,
                100 * 36864.0, 1e-9);
    assert_near(decode_cost("i8", ACTIVATIONS_F32, KV_I8, 1, 164).bytes -
                    decode_cost("i8", ACTIVATIONS_F32, KV_I8, 1, 64).bytes,
                100 * (18432.0 + 12 * 12 * 8), 1e-9);
    double of_two = decode_cost("i8", ACTIVATIONS_F32, KV_F32, 2, 64).bytes - at_64;
    assert_near(of_two, 66 * 73728.0 + 768 * 5, 1e-3);
}

/* 170 MFLOP in the blocks and 77 in the head; attention in fp32 whatever the activations; two products for
 * two bytes. */
static void operations_follow_the_activations(void **state)
{
    (void)state;
    struct cost f32 = decode_cost("i8", ACTIVATIONS_F32, KV_F32, 3, 99),
                i8 = decode_cost("i8", ACTIVATIONS_I8, KV_F32, 3, 99);
    struct cost i16 = decode_cost("i8", ACTIVATIONS_I16, KV_F32, 3, 99);
    double attention = 3 * 4.0 * 12 * 100 * 768;
    assert_near(f32.f32_flops, 3 * 2.0 * (84934656.0 + 38597376.0) + attention, 1e-12);
    assert_true(f32.i8_ops == 0 && i8.bytes == f32.bytes && i16.bytes == f32.bytes);
    assert_true(i8.f32_flops == attention && i16.f32_flops == attention);
    assert_near(i8.i8_ops, f32.f32_flops - attention, 1e-12);
    assert_near(i16.i8_ops, 2 * i8.i8_ops, 1e-12);
    assert_true(decode_cost("f32", ACTIVATIONS_I8, KV_F32, 1, 0).i8_ops == 0);
}

/* A prompt without logits spares the head; its rows share one pass over the cache. */
static void a_prompt_shares_the_weights(void **state)
{
    (void)state;
    struct fake f;
    struct batch_token tokens[128];
    struct cost without[PART_COUNT], with[PART_COUNT];
    for (int i = 0; i < 128; i++) tokens[i] = (struct batch_token){.position = i};
    fake_124m(&f, "i8");
    cost_of_pass(&f.weights, ACTIVATIONS_F32, KV_F32, tokens, 128, without);
    tokens[127].wants_logits = true;
    cost_of_pass(&f.weights, ACTIVATIONS_F32, KV_F32, tokens, 128, with);
    assert_true(without[PART_LM_HEAD].bytes == 0 && without[PART_LM_HEAD].f32_flops == 0);
    assert_near(with[PART_LM_HEAD].f32_flops, 2.0 * 50257 * 768, 1e-12);
    assert_near(with[PART_C_FC].bytes, 12 * (3072.0 * 768 + 8 * 3072), 1e-3);
    assert_near(with[PART_ATTENTION].bytes, 2 * 128 * 73728.0, 1e-9); /* written once, read once */
    assert_near(with[PART_ATTENTION].f32_flops, 12 * 768 * 4.0 * (128 * 129 / 2), 1e-12);
}

static void shapes(void **state)
{
    (void)state;
    gpt2q_config c;
    gpt2q_error err;
    assert_int_equal(shape_parse("gpt2-xl", &c, &err), GPT2Q_OK);
    assert_true(c.n_layer == 48 && c.n_embd == 1600 && c.n_head == 25 && c.n_inner == 6400 &&
                c.vocab_size == 50257);
    assert_int_equal(shape_parse("2x64x4", &c, &err), GPT2Q_OK);
    assert_true(c.n_layer == 2 && c.n_embd == 64 && c.n_head == 4 && c.n_positions == 1024);
    static const char *const wrong[] = {
        "",       "gpt3",    "2x64",    "2x64x",   "x64x4",   "0x64x4",           "2x64x4x",
        "2x64x5", "-2x64x4", " 2x64x4", "2 x64x4", "2x+64x4", "99999999999x64x4", "2x9999999x4"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (shape_parse(wrong[i], &c, &err) != GPT2Q_INVALID_ARGUMENT)
            fail_msg("shape '%s' is taken", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_reads_the_weights_once),
        cmocka_unit_test(a_cached_position_is_read_once_a_sequence),
        cmocka_unit_test(operations_follow_the_activations),
        cmocka_unit_test(a_prompt_shares_the_weights),
        cmocka_unit_test(shapes),
    };
    return cmocka_run_group_tests_name("cost", tests, NULL, NULL);
}
