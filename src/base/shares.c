#include "base/shares.h"

void share_offer(struct share *shares, int thread, int64_t begin, int64_t end)
{
    atomic_store(&shares[thread].left, (uint64_t)begin << 32 | (uint64_t)end);
}

static bool take(struct share *s, bool front, int *item)
{
    uint_least64_t left = atomic_load_explicit(&s->left, memory_order_relaxed), rest;
    do {
        uint32_t begin = (uint32_t)(left >> 32), end = (uint32_t)left;
        if (begin == end) return false;
        *item = (int)(front ? begin : end - 1);
        rest = front ? left + (UINT64_C(1) << 32) : left - 1;
    } while (!atomic_compare_exchange_weak(&s->left, &left, rest));
    return true;
}

bool share_take(struct share *shares, int thread, int n, int *item)
{
    if (take(&shares[thread], true, item)) return true;
    for (int i = 1; i < n; i++)
        if (take(&shares[(thread + i) % n], false, item)) return true;
    return false;
}
