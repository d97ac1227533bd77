/* A library that only some commands need, loaded when they run. Linked, it would be loaded with the libraries it needs itself
 * at every start of the program. */
#ifndef BASE_SHARED_LIBRARY_H
#define BASE_SHARED_LIBRARY_H
#include "base/status.h"
#include <stddef.h>

struct shared_function {
    const char *name;
    void **to; /* the pointer that gets the function's address */
};

/* Loads the first of the n_names files that is there, and fills in the functions. It stays loaded while the program
 * runs. `what` names the library in the error, with what installs it: "libcurl (Debian: libcurl4)". */
gpt2q_status shared_library_load(const char *const *names, size_t n_names,
                                 const struct shared_function *functions, size_t n_functions,
                                 const char *what, gpt2q_error *err);
#endif
