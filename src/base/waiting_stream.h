/* Writing to descriptors that somebody else made non-blocking: a full pipe is waited for, where stdio would lose what does not fit. */
#ifndef BASE_WAITING_STREAM_H
#define BASE_WAITING_STREAM_H
#include <stdio.h>

/* A stream that owns the descriptor, as fdopen(fd, "w") makes it. NULL, with errno, on failure; the descriptor is the caller's then. */
FILE *waiting_stream(int fd);
/* For the beginning of a program: stdout and stderr become such streams where they are non-blocking. A standard descriptor that is closed
 * is opened so that using it fails; else the next file that is opened would take its place. */
void standard_streams_prepare(void);
#endif
