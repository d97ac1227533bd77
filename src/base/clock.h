/* Time in seconds. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
double clock_seconds(void);        /* monotonic */
double clock_thread_seconds(void); /* CPU time of the calling thread */
#endif
