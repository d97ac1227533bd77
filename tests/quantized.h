/* Making .gpt2q files for tests. */
#ifndef TESTS_QUANTIZED_H
#define TESTS_QUANTIZED_H
#include "tests/support.h"

/* Quantizes a Hugging Face directory of the repository ("models/tales-7m") to a file; n_overrides
 * "GLOB=SPEC". */
gpt2q_status quantize_to(const char *model, const char *spec, const char *const *overrides,
                         size_t n_overrides, const char *path, gpt2q_error *err);
#endif
