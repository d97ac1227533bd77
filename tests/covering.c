#include "tests/covering.h"

static int new_pairs(const struct covering *c, const int *v)
{
    int n = 0;
    for (int a = 0; a < c->n_factors; a++)
        for (int b = a + 1; b < c->n_factors; b++) n += !c->met[a][v[a]][b][v[b]];
    return n;
}

/* The best of some random choices that contain a pair not met yet. */
bool covering_next(struct covering *c, struct rng *rng, int best[MAX_FACTORS])
{
    int most = 0, left = 0, n = c->n_factors;
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            for (int i = 0; i < c->n_values[a]; i++)
                for (int j = 0; j < c->n_values[b]; j++) {
                    int v[MAX_FACTORS];
                    if (c->met[a][i][b][j] || left++ > 20) continue;
                    for (int f = 0; f < n; f++) v[f] = (int)rng_below(rng, (uint32_t)c->n_values[f]);
                    v[a] = i, v[b] = j;
                    if (new_pairs(c, v) <= most) continue;
                    most = new_pairs(c, v);
                    memcpy(best, v, sizeof v);
                }
    for (int a = 0; most && a < n; a++)
        for (int b = a + 1; b < n; b++) c->met[a][best[a]][b][best[b]] = true;
    return most > 0;
}
