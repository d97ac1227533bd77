/* What a tensor of a .gpt2q file must hold to be what its scheme says. `file` and `name` are for messages. */
#ifndef MODEL_GPT2Q_CHECK_H
#define MODEL_GPT2Q_CHECK_H
#include "qtensor/qtensor.h"

/* Scales: finite, not negative, and not 0 where a code says something. Zero points: codes; minima: finite.
 * Looks at codes only where a scale is 0. */
gpt2q_status qtensor_check_scales(const struct qtensor *w, const char *file, const char *name,
                                  gpt2q_error *err);
/* Every code: -128 and -8 are no codes of absmax; the inputs that fill up a panel are 0. */
gpt2q_status qtensor_check_codes(const struct qtensor *w, const char *file, const char *name,
                                 gpt2q_error *err);
#endif
