/* The engine's thread steps the lanes in turn, and sleeps while there is nothing to do. If a lane's pass fails, its own requests
 * fail. It gets a new context and goes on. */
#ifndef SERVE_ENGINE_H
#define SERVE_ENGINE_H
#include "serve/lane.h"

struct news;

struct engine {
    struct lane *lanes;
    size_t n_lanes;
    struct news *news; /* told after each lane's step */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool woken, stopping, running;
    double stepped_at; /* under the lock: the last time it did something, or had nothing to do */
};

bool engine_start(struct engine *e, struct lane *lanes, size_t n, struct news *news);
void engine_stop(struct engine *e);
/* Says that there may be something to do. Any thread may call it. */
void engine_wake(struct engine *e);
/* Seconds since the engine last finished a step or slept; for the watchdog. */
double engine_silent_s(struct engine *e);
#endif
