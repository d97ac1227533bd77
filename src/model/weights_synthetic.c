/* Weights of any shape for benchmarks: numbers near a normal distribution with the spread of GPT-2's
 * initialization. Each number follows from its tensor and index alone, so it is the same at every call and
 * for any number of threads. One tensor is made at a time. */
#include "base/checked.h"
#include "base/memory.h"
#include "base/threads.h"
#include "model/weights_build.h"

#define SPREAD 0.02f

struct filling {
    float *values;
    size_t n;
    uint64_t seed;
    float mean;
};

/* splitmix64's mixing of a counter. The sum of four 16-bit numbers is near enough to normal (variance
 * 4/12). */
static float near_normal(uint64_t counter)
{
    uint64_t z = counter * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    int32_t sum = (int32_t)(z & 0xFFFF) + (int32_t)(z >> 16 & 0xFFFF) + (int32_t)(z >> 32 & 0xFFFF) +
                  (int32_t)(z >> 48);
    return (float)(sum - 2 * 0xFFFF) * (1.7320508f / 65536.0f);
}

static void fill(void *arg, int thread, int n_threads)
{
    const struct filling *f = arg;
    int64_t begin, end;
    threads_split((int64_t)f->n, thread, n_threads, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        f->values[i] = f->mean + SPREAD * near_normal(f->seed + (uint64_t)i);
}

static bool is_norm_weight(enum weight_part part)
{
    return part == PART_LN_1_WEIGHT || part == PART_LN_2_WEIGHT || part == PART_LN_F_WEIGHT;
}

/* A head held apart from a tied wte has wte's numbers. */
static gpt2q_status make(struct weights_builder *b, struct weight_id id, size_t index, gpt2q_error *err)
{
    const gpt2q_config *c = &b->w->config;
    char name[WEIGHT_NAME_MAX];
    struct qsource src = weights_source(c, id, weight_print(id, name), DT_F32, NULL, false);
    struct filling f = {.n = (size_t)src.rows * (size_t)src.cols,
                        .mean = is_norm_weight(id.part) ? 1.0f : 0.0f};
    struct weight_id origin =
        id.part == PART_LM_HEAD && c->tie_word_embeddings ? (struct weight_id){PART_WTE, 0} : id;
    f.seed = (uint64_t)weight_slot(c, origin) << 44; /* tensors lie further apart than any has elements */
    f.values = mem_array(f.n, sizeof *f.values);
    if (!f.values) return error_memory(err, src.name, f.n * sizeof *f.values);
    threads_run(b->run.n_threads, fill, &f);
    src.data = f.values;
    gpt2q_status s = weights_hold(b, id, index, &src, NULL, "F32", err);
    mem_free(f.values);
    return s;
}

gpt2q_status weights_synthesize(const gpt2q_config *config, const struct weights_params *params,
                                struct gpt2_weights *out, gpt2q_error *err)
{
    struct weights_builder b;
    bool tied = config->tie_word_embeddings;
    gpt2q_status s = weights_begin(&b, out, config, tied, params, err);
    if (s) return s;
    size_t n = weight_slots(config); /* the head is the last */
    if (tied && !weights_head_apart(&b)) n--;
    out->n_tensors = n;
    for (size_t i = 0; i < n && !s; i++) s = make(&b, weight_at(config, i), i, err);
    return weights_end(&b, s);
}
