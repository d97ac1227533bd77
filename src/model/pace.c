#include "model/pace.h"

bool pace_is_together(const struct pace *p)
{
    return p->state == PACE_TOGETHER_TIMED || (p->state == PACE_SETTLED && p->together);
}

static double median(const double *samples)
{
    double sorted[PACE_SAMPLES];
    for (int i = 0; i < PACE_SAMPLES; i++) {
        int at = i;
        for (; at && sorted[at - 1] > samples[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = samples[i];
    }
    return sorted[PACE_SAMPLES / 2];
}

static void enter(struct pace *p, enum pace_state state)
{
    p->state = state;
    p->n = 0;
}

static void settle(struct pace *p, bool together, double period, pace_clock *core)
{
    enter(p, PACE_SETTLED);
    p->together = together;
    p->period = period;
    p->spent = 0;
    p->core_from = core();
}

static void compare(struct pace *p, pace_clock *core)
{
    const bool together = median(p->shared) * PACE_GAIN < median(p->alone);
    double period = together == p->together ? 2 * p->period : PACE_PERIOD_MIN;
    if (period < PACE_PERIOD_MIN) period = PACE_PERIOD_MIN;
    if (period > PACE_PERIOD_MAX) period = PACE_PERIOD_MAX;
    settle(p, together, period, core);
}

static void count_settled(struct pace *p, double seconds, pace_clock *core)
{
    p->spent += seconds;
    if (p->spent < p->period) return;
    /* Where another thread called before, the difference means nothing: the next comparison comes early or late. */
    const double used = core() - p->core_from;
    if (!p->together && used >= 0 && used < PACE_CORE_SHARE * p->spent)
        settle(p, false, PACE_PERIOD_BUSY, core);
    else
        enter(p, PACE_ALONE_TIMED);
}

void pace_count(struct pace *p, double work, double seconds, bool slept, pace_clock *core)
{
    if (slept && pace_is_together(p)) {
        settle(p, false, PACE_PERIOD_BUSY, core);
        return;
    }
    switch (p->state) {
    case PACE_ALONE_TIMED:
        p->alone[p->n++] = seconds / work;
        if (p->n == PACE_SAMPLES) enter(p, PACE_TOGETHER_TIMED);
        break;
    case PACE_TOGETHER_TIMED:
        if (p->n >= PACE_WARM_UP) p->shared[p->n - PACE_WARM_UP] = seconds / work;
        if (++p->n == PACE_WARM_UP + PACE_SAMPLES) compare(p, core);
        break;
    case PACE_SETTLED: count_settled(p, seconds, core); break;
    }
}
