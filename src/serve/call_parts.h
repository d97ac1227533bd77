/* The insides of call.h, shared by its files: call.c (a call from its beginning to its end), call_engine.c (news, and the scheduler's
 * callbacks), call_stream.c (events of a stream). */
#ifndef SERVE_CALL_PARTS_H
#define SERVE_CALL_PARTS_H
#include "serve/call.h"

/* Takes the calls that were enlisted. news_strike returns the next one; from then on c may be enlisted again. */
struct call *news_take(struct news *n);
struct call *news_strike(struct news *n, struct call *c);

/* The scheduler's request for prompt i, with the callbacks that fill in the samples. */
gpt2q_request call_scheduler_request(struct call *c, size_t i);

struct openai_head call_head_of(const struct call *c);
/* Begins the answer of a stream, and says how many requests wait before it. */
void call_begin_stream(struct call *c);
/* Whether more text waits than a client may leave unread. Under the call's lock. */
bool call_is_too_slow(const struct call *c);
/* Tells a client that waits how far its prompt is, and now and then that the server lives. */
void call_say_something(struct call *c, double now);
#endif
