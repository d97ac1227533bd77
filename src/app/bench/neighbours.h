/* Busy neighbours: processes that do nothing but hold the cores, like other programs on a shared machine. */
#ifndef APP_BENCH_NEIGHBOURS_H
#define APP_BENCH_NEIGHBOURS_H

#define NEIGHBOURS_MAX 1024

/* Starts n of them. Call it before the process has threads. Returns an exit code; on failure none is left. */
int neighbours_start(int n);
/* Ends them. They also end when this process ends in any way. */
void neighbours_end(void);
#endif
