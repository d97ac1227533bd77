#include "model/pace.h"
#include <string.h>

bool pace_is_together(const struct pace *p) { return p->alone == p->on_trial; }

static double median(const double *samples, int n)
{
    double sorted[PACE_KEPT];
    for (int i = 0; i < n; i++) {
        int at = i;
        for (; at && sorted[at - 1] > samples[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = samples[i];
    }
    return sorted[n / 2];
}

/* Until the next trial: at least so many passes and seconds. */
static void settle(struct pace *p, unsigned least, double period, pace_clock *core)
{
    p->on_trial = false;
    p->passes = 0;
    p->least = least;
    p->spent = 0;
    p->period = period;
    p->core_from = core();
}

static void settle_busy(struct pace *p, pace_clock *core)
{
    if (!p->alone) p->n_kept = 0;
    p->alone = true;
    settle(p, 1, PACE_PERIOD_BUSY, core);
}

/* Of the last passes of the present way; 0 before the first. */
static double median_kept(const struct pace *p)
{
    const int n = p->n_kept < PACE_KEPT ? (int)p->n_kept : PACE_KEPT;
    return n ? median(p->kept, n) : 0;
}

static void compare(struct pace *p, pace_clock *core)
{
    const double kept = median_kept(p), trial = median(p->trial, PACE_TRIAL);
    const double alone_takes = p->alone ? kept : trial, together_takes = p->alone ? trial : kept;
    const bool alone = together_takes * PACE_GAIN >= alone_takes;
    if (alone == p->alone) {
        const double period = 2 * p->period;
        settle(p, PACE_PASSES, period < PACE_PERIOD_MAX ? period : PACE_PERIOD_MAX, core);
        return;
    }
    memcpy(p->kept, p->trial, sizeof p->trial);
    p->n_kept = PACE_TRIAL;
    p->alone = alone;
    settle(p, PACE_PASSES_NEW, PACE_PERIOD_MIN, core);
}

static void count_trial(struct pace *p, double seconds, pace_clock *core)
{
    const int first = p->alone ? PACE_WARM_UP : 0;
    if (p->n_trial >= first) p->trial[p->n_trial - first] = seconds;
    if (++p->n_trial == first + PACE_TRIAL) compare(p, core);
}

static void count_kept(struct pace *p, double work, double seconds, pace_clock *core)
{
    if (!p->least) settle(p, PACE_PASSES, PACE_PERIOD_MIN, core); /* the first pass */
    p->kept[p->n_kept++ % PACE_KEPT] = seconds / work;
    p->passes++;
    p->spent += seconds;
    if (p->spent < p->period || p->passes < p->least) return;
    /* Where another thread called before, the difference means nothing: the next trial comes early or late. */
    const double used = core() - p->core_from;
    if (p->alone && used >= 0 && used < PACE_CORE_SHARE * p->spent) {
        settle_busy(p, core);
        return;
    }
    p->on_trial = true;
    p->n_trial = 0;
}

void pace_count(struct pace *p, double work, double seconds, bool slept, pace_clock *core)
{
    if (slept && pace_is_together(p) && seconds / work > PACE_SLOW * median_kept(p))
        settle_busy(p, core);
    else if (p->on_trial)
        count_trial(p, seconds / work, core);
    else
        count_kept(p, work, seconds, core);
}
