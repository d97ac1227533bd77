/* Who may ask: keys, origins, hosts. */
#ifndef SERVE_GUARD_H
#define SERVE_GUARD_H
#include "base/status.h"
#include "serve/options.h"

#define KEYS_MAX 256

struct guard {
    const struct serve_options *options;
    char *keys[KEYS_MAX]; /* owned */
    size_t n_keys;
    bool loopback_only;
};

/* Reads the keys; a file that others can read is refused. */
gpt2q_status guard_open(struct guard *g, const struct serve_options *options, gpt2q_error *err);
/* The same again; on failure the old keys stay. */
gpt2q_status guard_reload(struct guard *g, gpt2q_error *err);
void guard_close(struct guard *g);

/* "Bearer K" or K. The time it takes tells nothing of the keys. True where there are none. */
bool guard_key_is_good(const struct guard *g, const char *authorization, const char *x_api_key);

enum guard_verdict { GUARD_OK, GUARD_ORIGIN, GUARD_HOST };
/* A request with an origin comes from a browser: that must be a page of ours, or one that --cors names; and where only loopback
 * is listened to, the host must be a name for it (DNS rebinding). *cors: the origin, where --cors names it. */
enum guard_verdict guard_origin(const struct guard *g, const char *origin, const char *host,
                                const char **cors);
bool is_loopback(const char *host);
#endif
