/* Makes .gpt2q and GGUF files for tests. */
#ifndef TESTS_QUANTIZED_H
#define TESTS_QUANTIZED_H
#include "tests/support.h"

/* Quantizes a model, a path in the repository ("models/tales-7m") or from "/", to a file of the kind that
 * its name ends in, with n_overrides "GLOB=SPEC". */
gpt2q_status quantize_to(const char *model, const char *spec, const char *const *overrides,
                         size_t n_overrides, const char *path, gpt2q_error *err);
/* The same to a Hugging Face directory of float32. */
gpt2q_status export_to(const char *model, const char *spec, const char *directory, gpt2q_error *err);
#endif
