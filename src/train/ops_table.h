/* The tables of training's arithmetic, one object per instruction set. */
#ifndef TRAIN_OPS_TABLE_H
#define TRAIN_OPS_TABLE_H
#include "train/ops.h"

extern const struct train_ops train_ops_scalar;
#if defined(__x86_64__)
extern const struct train_ops train_ops_avx2, train_ops_avx512;
#endif
#endif
