/* Which tensor is held in which scheme: the base and its overrides by name. */
#ifndef MODEL_WEIGHTS_SCHEMES_H
#define MODEL_WEIGHTS_SCHEMES_H
#include "model/weights_names.h"

/* Fills schemes (weight_slots entries). A tied head follows wte unless an override matches "lm_head.weight".
 * *mixed: some tensor is held otherwise than without overrides. */
gpt2q_status weights_choose_schemes(const gpt2q_config *config, const struct weights_params *params,
                                    bool tied, struct scheme *schemes, bool *mixed, gpt2q_error *err);
/* The scheme of a weight when `asked` is asked for: f32 for what is no matrix, but under `notes`. */
struct scheme weight_scheme(enum weight_part part, struct scheme asked);
#endif
