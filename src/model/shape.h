/* Shapes of GPT-2 without weights, for benchmarks and estimates of sizes. */
#ifndef MODEL_SHAPE_H
#define MODEL_SHAPE_H
#include "base/status.h"

/* "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", or LxDxH: layers, width, heads ("12x768x12"), with GPT-2's
 * vocabulary and positions. */
gpt2q_status shape_parse(const char *text, gpt2q_config *out, gpt2q_error *err);
#endif
