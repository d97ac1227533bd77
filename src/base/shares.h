/* Shares of work. The items of a phase are split among threads in contiguous shares; a thread takes its own from the front, then
 * what others have not begun, from the back. On a core that other programs use as well, a thread so does fewer: nobody waits for
 * more than an item. Who does an item must change no bit.
 *
 * A phase lies between two barriers. Its shares are offered before the first, by their threads; the same array serves another
 * phase when a phase that uses a different one has passed. */
#ifndef BASE_SHARES_H
#define BASE_SHARES_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct share { /* one a thread, each on a cache line of its own */
    _Alignas(64)
        atomic_uint_least64_t left; /* items [begin, end): begin in the high half, end in the low one */
};

/* Offers the items [begin, end) as thread's share. 0 <= begin <= end <= INT32_MAX. */
void share_offer(struct share *shares, int thread, int64_t begin, int64_t end);
/* Takes an item for thread among the n of the phase; false: all are taken. */
bool share_take(struct share *shares, int thread, int n, int *item);
#endif
