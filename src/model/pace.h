/* How many threads a short pass uses: what it measured decides.
 *
 * A short pass takes less than a time slice of the system. Whether a second thread makes it faster depends on
 * the machine, on how far its cores lie apart and on what other programs do, and it changes. So a few passes
 * are timed alone and together; what was faster serves the next passes, and then both are timed again. Where
 * the caller of a pass had to sleep, another program holds a core that the pass needs: passes are made alone
 * at once. They stay alone while the caller's thread gets less than its core.
 *
 * The bits of a pass are the same for any number of threads. A pace belongs to one context; it allocates
 * nothing. */
#ifndef MODEL_PACE_H
#define MODEL_PACE_H
#include <stdbool.h>
#include <stdint.h>

#define PACE_SAMPLES 5 /* passes of a kind that are timed; their medians are compared */
#define PACE_WARM_UP 2 /* passes made together before those: threads wake up */

/* Seconds of passes from one comparison to the next. It grows where the answer stays the same. */
#define PACE_PERIOD_MIN 0.005
#define PACE_PERIOD_MAX 0.32
/* The same after the caller slept: longer than the time slices of several other programs. */
#define PACE_PERIOD_BUSY 0.02
/* A second thread brings at least that much, or is not used. */
#define PACE_GAIN 1.05
/* Less of its core than that, and the thread shares it with another program. */
#define PACE_CORE_SHARE 0.75

enum pace_state { PACE_ALONE_TIMED, PACE_TOGETHER_TIMED, PACE_SETTLED };

struct pace {
    enum pace_state state;
    bool together;                                    /* settled: what was faster */
    int n;                                            /* passes of this state */
    double alone[PACE_SAMPLES], shared[PACE_SAMPLES]; /* seconds per unit of work */
    double period, spent, core_from; /* settled: for how long; so far; CPU time at the beginning */
};

/* Whether the next pass uses more than one thread. */
bool pace_is_together(const struct pace *p);
/* The CPU time of the calling thread, in seconds. */
typedef double pace_clock(void);
/* That pass was made: its work (in any unit), its seconds, whether its caller slept in it. The clock is asked
 * now and then. */
void pace_count(struct pace *p, double work, double seconds, bool slept, pace_clock *core);
#endif
