/* See dense.h. The compiler vectorizes the loops over LANES outputs. Every output is a chain of its own,
 * so vectors change no bit. */
#include "kernels/simd_double.h"
#include "methods/dense_table.h"

#if V8_REGISTERS >= 32
#define ROWS 8
#define VECS 3
#elif V8_REGISTERS >= 8
#define ROWS 6
#define VECS 1
#else
#define ROWS 4
#define VECS 1
#endif
#define K_STEPS 128 /* inputs of B in a step; such a strip stays in the first-level cache */

ALWAYS_INLINE void tile(const struct dense_product *p, int r0, int c0, int k0, int k, const int rows,
                        const int vecs)
{
    v8 acc[ROWS][VECS];
    double *c = p->c + (size_t)r0 * p->ldc + c0;
    const double *a = p->a + (size_t)r0 * p->a_row + (size_t)k0 * p->a_k;
    const double *b = p->b + (size_t)k0 * p->ldb + c0;
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) acc[r][v] = v8_load(c + (size_t)r * p->ldc + 8 * v);
    if (p->subtract) {
        for (int i = 0; i < k; i++, a += p->a_k, b += p->ldb)
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const v8 x = v8_set1(a[(size_t)r * p->a_row]);
#pragma GCC unroll 3
                for (int v = 0; v < vecs; v++) acc[r][v] = v8_fnma(x, v8_load(b + 8 * v), acc[r][v]);
            }
    } else {
        for (int i = 0; i < k; i++, a += p->a_k, b += p->ldb)
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const v8 x = v8_set1(a[(size_t)r * p->a_row]);
#pragma GCC unroll 3
                for (int v = 0; v < vecs; v++) acc[r][v] = v8_fma(x, v8_load(b + 8 * v), acc[r][v]);
            }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vecs; v++) v8_store(c + (size_t)r * p->ldc + 8 * v, acc[r][v]);
}

/* The last columns, fewer than 8. */
static void narrow(const struct dense_product *p, int r, int c0, int k0, int k)
{
    for (int j = c0; j < p->n; j++) {
        double sum = p->c[(size_t)r * p->ldc + (size_t)j];
        for (int i = k0; i < k0 + k; i++) {
            const double x = p->a[(size_t)r * p->a_row + (size_t)i * p->a_k];
            sum = fma(p->subtract ? -x : x, p->b[(size_t)i * p->ldb + (size_t)j], sum);
        }
        p->c[(size_t)r * p->ldc + (size_t)j] = sum;
    }
}

static void product(const struct dense_product *p)
{
    for (int k0 = 0; k0 < p->k; k0 += K_STEPS) {
        const int k = p->k - k0 < K_STEPS ? p->k - k0 : K_STEPS;
        int c = 0;
        for (; c + 8 * VECS <= p->n; c += 8 * VECS) {
            int r = 0;
            for (; r + ROWS <= p->m; r += ROWS) tile(p, r, c, k0, k, ROWS, VECS);
            for (; r < p->m; r++) tile(p, r, c, k0, k, 1, VECS);
        }
        for (; VECS > 1 && c + 8 <= p->n; c += 8) {
            int r = 0;
            for (; r + ROWS <= p->m; r += ROWS) tile(p, r, c, k0, k, ROWS, 1);
            for (; r < p->m; r++) tile(p, r, c, k0, k, 1, 1);
        }
        for (int r = 0; c < p->n && r < p->m; r++) narrow(p, r, c, k0, k);
    }
}

static void solve(int k, const double *r, size_t ldr, int n, double *c, size_t ldc)
{
    for (int i = 0; i < k; i++) {
        double *to = c + (size_t)i * ldc;
        for (int j = 0; j < i; j++) {
            const double factor = -r[(size_t)j * ldr + (size_t)i];
            const double *from = c + (size_t)j * ldc;
            for (int x = 0; x < n; x++) to[x] = fma(factor, from[x], to[x]);
        }
        const double pivot = r[(size_t)i * ldr + (size_t)i];
        for (int x = 0; x < n; x++) to[x] /= pivot;
    }
}

ALWAYS_INLINE double clamp(double x, double least, double most)
{
    x = x > least ? x : least;
    return x < most ? x : most;
}
ALWAYS_INLINE double code_of(double w, const struct rounding *r, int o)
{
    return clamp(rint(w / r->divisor[o]) + r->zero[o], r->least, r->most);
}

static void round_input(double *restrict w, const struct rounding *r, double pivot, double *restrict code)
{
    for (int o = 0; o < LANES; o++) {
        const double c = code_of(w[o], r, o);
        code[o] = c;
        w[o] = (w[o] - (c - r->zero[o]) * r->scale[o]) / pivot;
    }
}

static void axpy(const double *restrict x, double factor, double *restrict y)
{
    for (int o = 0; o < LANES; o++) y[o] = fma(-factor, x[o], y[o]);
}

static void descend(double *restrict value, const double *restrict pull, double diagonal,
                    const struct rounding *r, double *restrict code, double *restrict delta)
{
    for (int o = 0; o < LANES; o++) {
        const double c = code_of(value[o] + pull[o] / diagonal, r, o);
        const double now = (c - r->zero[o]) * r->scale[o];
        code[o] = c;
        delta[o] = now - value[o];
        value[o] = now;
    }
}

static void rounding_error(const double *restrict w, const struct rounding *r, double weight,
                           double *restrict error)
{
    for (int o = 0; o < LANES; o++) {
        const double e = (code_of(w[o], r, o) - r->zero[o]) * r->scale[o] - w[o];
        error[o] += e * e * weight;
    }
}

static void multiply_sum(const double *restrict x, const double *restrict y, double *restrict sums)
{
    for (int o = 0; o < LANES; o++) sums[o] = fma(x[o], y[o], sums[o]);
}

static void to_double(const float *restrict x, size_t n, double *restrict y)
{
    for (size_t i = 0; i < n; i++) y[i] = (double)x[i];
}

const struct dense_ops ISA(dense_ops) = {product, solve,          round_input,  axpy,
                                         descend, rounding_error, multiply_sum, to_double};
