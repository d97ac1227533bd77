/* Which tensor is held in which scheme: the base and its overrides by name. */
#ifndef MODEL_WEIGHTS_SCHEMES_H
#define MODEL_WEIGHTS_SCHEMES_H
#include "model/weights.h"

/* Fills schemes (weight_slots entries). A tied head follows wte unless an override matches "lm_head.weight".
 * *mixed: some tensor is held otherwise than without overrides. */
gpt2q_status weights_choose_schemes(const gpt2q_config *config, const struct weights_params *params,
                                    bool tied, struct scheme *schemes, bool *mixed, gpt2q_error *err);
#endif
