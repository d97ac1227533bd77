/* The options of the server. The command fills them in and owns the strings. */
#ifndef SERVE_OPTIONS_H
#define SERVE_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_MAX 16
#define NAMES_MAX 64

struct serve_lane_options {
    const char *path;        /* NULL: the default model */
    const char *scheme;      /* NULL: as the model asks */
    const char *activations; /* NULL: the default of the scheme */
};

struct serve_options {
    struct serve_lane_options lanes[LANES_MAX];
    size_t n_lanes;
    const char *isa, *kv;
    int64_t threads, ctx;

    const char *host; /* "127.0.0.1" */
    const char *port; /* "8080", "0", "none" */
    const char *port_file, *unix_path;
    int64_t rows, queue, queue_tokens, cache, chunk, max_tokens, speculate;
    double deadline_s;
    int64_t max_connections, max_connections_of_ip;
    double header_s, body_s, idle_s, write_s, drain_s, drain_delay_s, heartbeat_s;
    const char *log, *log_format, *log_level;
    bool log_prompts;
    const char *const *aliases, *const *cors, *const *allowed_hosts; /* "NAME=ID" or "*"; origins; hosts */
    size_t n_aliases, n_cors, n_allowed_hosts;
    const char *chat; /* "none", "plain" */
    const char *api_key_file;
    const char *api_key; /* of the environment; NULL: none */
    bool no_auth, open_metrics, no_page, ignore_unknown, ready_when_full;
    int64_t max_body, max_prompts, stream_buffer;
    double max_temperature;
    bool quiet;
};

#define SERVE_OPTIONS_DEFAULT                                                                                \
    ((struct serve_options){.host = "127.0.0.1",                                                             \
                            .port = "8080",                                                                  \
                            .rows = 16,                                                                      \
                            .queue = 256,                                                                    \
                            .queue_tokens = 262144,                                                          \
                            .chunk = 256,                                                                    \
                            .max_connections = 2048,                                                         \
                            .header_s = 10,                                                                  \
                            .body_s = 30,                                                                    \
                            .idle_s = 75,                                                                    \
                            .write_s = 30,                                                                   \
                            .drain_s = 30,                                                                   \
                            .heartbeat_s = 15,                                                               \
                            .chat = "none",                                                                  \
                            .max_body = 8 << 20,                                                             \
                            .max_prompts = 256,                                                              \
                            .stream_buffer = 1 << 20,                                                        \
                            .max_temperature = 2,                                                            \
                            .log_level = "info"})
#endif
