/* A checkpoint's weights as training holds them. */
#ifndef TESTS_PARAMETERS_H
#define TESTS_PARAMETERS_H
#include "train/params.h"

/* Makes p for the checkpoint in `directory`, and a block of its weights; both are the caller's. */
void parameters_read(const char *directory, struct param_list *p, float **block);
#endif
