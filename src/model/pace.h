/* How many threads a short pass uses: what it measured decides.
 *
 * A short pass takes less than a time slice of the system. Whether a second thread makes it faster depends on
 * the machine, on how far its cores lie apart and on what other programs do, and it changes. So passes are
 * made one way, together at first, and now and then a few are made the other way, alone; the faster way serves
 * the next passes. Where the caller of a pass had to sleep and the pass was slow, another program holds a core that it
 * needs: passes are made alone at once. They stay alone while the caller's thread gets less than its core.
 *
 * The bits of a pass are the same for any number of threads. A pace belongs to one context; it begins as
 * zeros and allocates nothing. */
#ifndef MODEL_PACE_H
#define MODEL_PACE_H
#include <stdbool.h>
#include <stdint.h>

#define PACE_KEPT    5 /* the last passes of the present way; their median is compared with a trial's */
#define PACE_TRIAL   3 /* passes the other way, at most PACE_KEPT */
#define PACE_WARM_UP 2 /* passes together before those of a trial: threads wake up */

/* From one trial to the next: at least so many passes, so that trials cost little, and seconds. These grow where
 * the answer stays the same. */
#define PACE_PASSES     100
#define PACE_PASSES_NEW 20 /* where the answer has just changed */
#define PACE_PERIOD_MIN 0.01
#define PACE_PERIOD_MAX 0.32
/* The same after the caller slept: longer than the time slices of several other programs. */
#define PACE_PERIOD_BUSY 0.02
/* A pass is slow that takes that much longer than the last ones of the present way. */
#define PACE_SLOW 1.5
/* A second thread brings at least that much, or is not used. */
#define PACE_GAIN 1.05
/* Less of its core than that, and the thread shares it with another program. */
#define PACE_CORE_SHARE 0.75

struct pace {
    bool alone;               /* the present way */
    bool on_trial;            /* passes are made the other way */
    int n_trial;              /* of these so far */
    double trial[PACE_TRIAL]; /* seconds per unit of work */
    unsigned n_kept;          /* passes of the present way so far */
    double kept[PACE_KEPT];   /* the same of the last of these */
    unsigned passes, least;   /* since the last trial; at least so many until the next */
    double spent, period;     /* the same in seconds */
    double core_from;         /* CPU time after the last trial */
};

/* Whether the next pass uses more than one thread. */
bool pace_is_together(const struct pace *p);
/* The CPU time of the calling thread, in seconds. */
typedef double pace_clock(void);
/* That pass was made: its work (in any unit), its seconds, whether its caller slept in it. The clock is asked
 * now and then. */
void pace_count(struct pace *p, double work, double seconds, bool slept, pace_clock *core);
#endif
