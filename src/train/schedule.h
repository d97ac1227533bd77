/* The learning rate of a step. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

/* The rate of step t = 0, 1, .. of `steps`: rate min(1, (t + 1)/warmup) (0.5 + 0.475 cos(pi t/steps)). It
 * rises in a line, and falls along half a cosine to 2.5 %. warmup 0: it does not rise. The cosine is a
 * polynomial of our own, so it has the same bits everywhere. */
double schedule_rate(double rate, int t, int steps, int warmup);
/* cos(pi x) for x in [0, 1], to 1e-15. */
double cos_pi(double x);
#endif
