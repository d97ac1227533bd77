/* What a batch did: progress while it runs, a summary at its end, and the same numbers as JSON. */
#ifndef APP_BATCH_STATS_H
#define APP_BATCH_STATS_H
#include "base/status.h"

struct batch_stats {
    gpt2q_scheduler_stats scheduler; /* as of now */
    uint64_t requests, errors;       /* lines answered, and answered by an error */
    uint64_t total;                  /* lines of the whole run, 0: not known */
    uint64_t before;                 /* lines answered by an earlier run */
    double started_at, shown_at;
    bool terminal, shown, quiet;
};

void batch_stats_begin(struct batch_stats *s, uint64_t total, uint64_t before, bool quiet);
/* Shows progress when it is due: several times a second on a terminal, else once a minute. */
void batch_stats_progress(struct batch_stats *s);
/* Takes the line of progress from the terminal, for answers that go there, too. */
void batch_stats_clear(struct batch_stats *s);
void batch_stats_summary(struct batch_stats *s);
/* One JSON object; "-" is standard output. */
gpt2q_status batch_stats_write(const struct batch_stats *s, const char *path, gpt2q_error *err);
#endif
