/* Which requests are let in: keys, origins, hosts. */
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

/* Reads the keys. It refuses a file that others can read. */
gpt2q_status guard_open(struct guard *g, const struct serve_options *options, gpt2q_error *err);
/* Reads them again. On failure the old keys stay. */
gpt2q_status guard_reload(struct guard *g, gpt2q_error *err);
void guard_close(struct guard *g);

/* Accepts "Bearer K" and K. The time it takes tells nothing about the keys. Without keys it is true. */
bool guard_key_is_good(const struct guard *g, const char *authorization, const char *x_api_key);

enum guard_verdict { GUARD_OK, GUARD_ORIGIN, GUARD_HOST };
/* A request with an origin comes from a browser. The origin must be this server's page or one that --cors names. If the server
 * listens on loopback alone, the host must be a name of loopback (DNS rebinding). *cors: the origin, if --cors names it. */
enum guard_verdict guard_origin(const struct guard *g, const char *origin, const char *host,
                                const char **cors);
bool is_loopback(const char *host);
#endif
