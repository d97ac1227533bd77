/* The scheme of each tensor: the base, and overrides by name. */
#ifndef MODEL_WEIGHTS_SCHEMES_H
#define MODEL_WEIGHTS_SCHEMES_H
#include "model/weights_names.h"

/* Fills schemes (weight_slots entries). A tied head follows wte unless an override matches
 * "lm_head.weight". *mixed: the overrides changed a tensor. */
gpt2q_status weights_choose_schemes(const gpt2q_config *config, const struct weights_params *params,
                                    bool tied, struct scheme *schemes, bool *mixed, gpt2q_error *err);
/* The scheme of a weight when `asked` is asked for. Tensors that are not matrices have f32, except under
 * `notes`. */
struct scheme weight_scheme(enum weight_part part, struct scheme asked);
#endif
