#include "base/shared_library.h"
#include <dlfcn.h>

gpt2q_status shared_library_load(const char *const *names, size_t n_names,
                                 const struct shared_function *functions, size_t n_functions,
                                 const char *what, gpt2q_error *err)
{
    void *library = NULL;
    for (size_t i = 0; !library && i < n_names; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library) return error_set(err, GPT2Q_UNSUPPORTED, "cannot load %s: install it", what);
    for (size_t i = 0; i < n_functions; i++) {
        *functions[i].to = dlsym(library, functions[i].name);
        if (!*functions[i].to)
            return error_set(err, GPT2Q_UNSUPPORTED, "the installed %s is too old: it has no %s", what,
                             functions[i].name);
    }
    return GPT2Q_OK;
}
