/* A path of the API. */
#ifndef SERVE_ROUTES_H
#define SERVE_ROUTES_H
#include "base/clock.h"
#include "serve/server.h"

struct route {
    const char *path, *other; /* other: the same under /v1, or without; NULL: none */
    int methods;
    bool key; /* a key is needed */
    endpoint_fn *endpoint;
};
#endif
