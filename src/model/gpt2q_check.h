/* Checks that a tensor of a .gpt2q file is what its scheme says. `file` and `name` are for messages. */
#ifndef MODEL_GPT2Q_CHECK_H
#define MODEL_GPT2Q_CHECK_H
#include "qtensor/qtensor.h"

/* Scales must be finite, not negative (signed: any sign), and not 0 where a code says something. Zero
 * points must be codes, minima finite. Codes are read only under a scale of 0. */
gpt2q_status qtensor_check_scales(const struct qtensor *w, const char *file, const char *name,
                                  gpt2q_error *err);
/* Checks zero point or minimum number i, of any type it is stored in. */
gpt2q_status qtensor_check_zero(const struct qtensor *w, float zero, size_t i, const char *file,
                                const char *name, gpt2q_error *err);
/* Checks every code: absmax does not use -128 and -8. */
gpt2q_status qtensor_check_codes(const struct qtensor *w, const char *file, const char *name,
                                 gpt2q_error *err);
#endif
