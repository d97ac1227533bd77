#include "serve/http_library.h"
#include "base/shared_library.h"

struct http_library mhd_library;

gpt2q_status http_library_load(gpt2q_error *err)
{
    static const char *const names[] = {"libmicrohttpd.so.12", "libmicrohttpd.so"};
    static const struct shared_function functions[] = {
#define HTTP_LIBRARY_FUNCTION(name) {"MHD_" #name, (void **)&mhd_library.name},
        HTTP_LIBRARY_FUNCTIONS(HTTP_LIBRARY_FUNCTION)
#undef HTTP_LIBRARY_FUNCTION
    };
    return shared_library_load(names, sizeof names / sizeof *names, functions,
                               sizeof functions / sizeof *functions,
                               "libmicrohttpd (Debian: libmicrohttpd12)", err);
}
