/* Tensors of golden files, and their elements as numbers. */
#ifndef TESTS_GOLDEN_TENSORS_H
#define TESTS_GOLDEN_TENSORS_H
#include "model/safetensors.h"

/* Fails the test if there is none. */
const struct st_tensor *golden_tensor(const struct safetensors *st, const char *name);
/* Element i: U8, I8, I64, F16, F32 or F64. */
double golden_number(const struct st_tensor *t, size_t i);
#endif
