/* libmicrohttpd's functions, loaded when the server starts. Linked, the library and those it needs would add 2 ms to every
 * start of the program. */
#ifndef SERVE_HTTP_LIBRARY_H
#define SERVE_HTTP_LIBRARY_H
#include "base/status.h"
#include <microhttpd.h>

#define HTTP_LIBRARY_FUNCTIONS(X)                                                                            \
    X(lookup_connection_value)                                                                               \
    X(resume_connection)                                                                                     \
    X(suspend_connection)                                                                                    \
    X(add_response_header)                                                                                   \
    X(create_response_from_buffer)                                                                           \
    X(create_response_from_callback)                                                                         \
    X(get_connection_values)                                                                                 \
    X(queue_response)                                                                                        \
    X(destroy_response)                                                                                      \
    X(get_connection_info)                                                                                   \
    X(get_timeout)                                                                                           \
    X(run)                                                                                                   \
    X(start_daemon)                                                                                          \
    X(get_daemon_info)                                                                                       \
    X(quiesce_daemon)                                                                                        \
    X(stop_daemon)

extern struct http_library {
#define HTTP_LIBRARY_MEMBER(name) __typeof__(&MHD_##name) name;
    HTTP_LIBRARY_FUNCTIONS(HTTP_LIBRARY_MEMBER)
#undef HTTP_LIBRARY_MEMBER
} mhd_library;

gpt2q_status http_library_load(gpt2q_error *err);
#endif
