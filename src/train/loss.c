#include "train/loss.h"
#include "base/memory.h"
#include "kernels/scalar_math.h"
#include "train/product.h"
#include <string.h>

gpt2q_status loss_create(struct loss_scratch *l, const struct param_list *p, bool teacher, gpt2q_error *err)
{
    const size_t floats = (size_t)LOSS_ROWS * (size_t)p->config.vocab_size;
    *l = (struct loss_scratch){.student = mem_array(floats, sizeof(float)),
                               .rows = mem_array(LOSS_ROWS, sizeof(double))};
    if (teacher) l->teacher = mem_array(floats, sizeof(float));
    if (l->student && l->rows && (l->teacher || !teacher)) return GPT2Q_OK;
    loss_free(l);
    return error_memory(err, "the logits of a loss", 2 * floats * sizeof(float));
}

void loss_free(struct loss_scratch *l)
{
    mem_free(l->student);
    mem_free(l->teacher);
    mem_free(l->rows);
    *l = (struct loss_scratch){0};
}

struct loss_part { /* rows [first, first + rows) of the tokens */
    struct loss_scratch *l;
    struct train_pass *t;
    const struct crew *c;
    const struct loss_model *teacher;
    const int32_t *tokens;
    int first, rows;
    float factor; /* one over the number of terms */
};

/* The log of the sum of exp over a row of logits. */
static float log_sum(const struct loss_part *s, const float *x, size_t n)
{
    const float most = s->c->kernels->row_max(x, n);
    return (float)((double)most + math_log(s->c->kernels->row_sum_exp(x, n, most)));
}

static double divergence_row(const struct loss_part *s, int r)
{
    const size_t n = (size_t)s->t->params->config.vocab_size;
    float *student = s->l->student + (size_t)r * n;
    const float *teacher = s->l->teacher + (size_t)r * n;
    return s->c->ops->divergence_backward(teacher, log_sum(s, teacher, n), student, log_sum(s, student, n), n,
                                          s->factor);
}

static double entropy_row(const struct loss_part *s, int r)
{
    const size_t n = (size_t)s->t->params->config.vocab_size;
    const int token = s->first + r;
    float *student = s->l->student + (size_t)r * n;
    if ((token + 1) % s->t->window == 0) { /* the last token of a window has no next one */
        memset(student, 0, n * sizeof *student);
        return 0.0;
    }
    const float shift = log_sum(s, student, n);
    const int32_t next = s->tokens[token + 1];
    const double loss = (double)shift - (double)student[next];
    s->c->ops->entropy_backward(student, shift, n, s->factor);
    student[next] -= s->factor;
    return loss;
}

static void row_item(void *arg, int64_t item, int thread)
{
    const struct loss_part *s = arg;
    (void)thread;
    s->l->rows[item] = s->teacher ? divergence_row(s, (int)item) : entropy_row(s, (int)item);
}

static void logits(const struct loss_part *s, const float *hidden, const float *head, float *out)
{
    const gpt2q_config *c = &s->t->params->config;
    const size_t d = (size_t)c->n_embd;
    const struct product p = {.m = s->rows,
                              .n = c->vocab_size,
                              .k = c->n_embd,
                              .a = rows_of(hidden + (size_t)s->first * d, d),
                              .b = rows_of(head, d),
                              .c = out,
                              .ldc = (size_t)c->vocab_size};
    product_run(s->c, &p);
}

static void gradients(const struct loss_part *s, const float *head, float *g)
{
    const gpt2q_config *c = &s->t->params->config;
    const size_t d = (size_t)c->n_embd, vocab = (size_t)c->vocab_size;
    const struct product to_hidden = {.m = s->rows,
                                      .n = c->n_embd,
                                      .k = c->vocab_size,
                                      .a = rows_of(s->l->student, vocab),
                                      .b = columns_of(head, d),
                                      .c = s->t->da + (size_t)s->first * d,
                                      .ldc = d};
    const struct product to_head = {.m = c->vocab_size,
                                    .n = c->n_embd,
                                    .k = s->rows,
                                    .a = columns_of(s->l->student, vocab),
                                    .b = columns_of(s->t->hidden + (size_t)s->first * d, d),
                                    .c = g,
                                    .ldc = d,
                                    .add = s->first > 0};
    product_run(s->c, &to_hidden);
    product_run(s->c, &to_head);
}

double loss_run(struct loss_scratch *l, struct train_pass *t, const struct crew *c, const float *weights,
                const struct loss_model *teacher, const int32_t *tokens, float *g)
{
    const struct param_list *p = t->params;
    const size_t at = p->list[params_head(p)].at;
    const int terms = teacher ? t->n : t->windows * (t->window - 1);
    struct loss_part s = {
        .l = l, .t = t, .c = c, .teacher = teacher, .tokens = tokens, .factor = 1.0f / (float)terms};
    double loss = 0.0;
    for (s.first = 0; s.first < t->n; s.first += LOSS_ROWS) {
        s.rows = t->n - s.first < LOSS_ROWS ? t->n - s.first : LOSS_ROWS;
        logits(&s, t->hidden, weights + at, l->student);
        if (teacher) logits(&s, teacher->hidden, teacher->head, l->teacher);
        crew_each(c, s.rows, row_item, &s);
        for (int r = 0; r < s.rows; r++) loss += l->rows[r];
        if (g) gradients(&s, weights + at, g + at);
    }
    return loss / terms;
}
