/* Where the time of a forward pass goes. Waiting for other threads counts to the part that ends. */
#ifndef MODEL_PROFILE_H
#define MODEL_PROFILE_H
#include "base/clock.h"

/* name in reports */
#define FORWARD_PART_MAP(X)                                                                                  \
    X(EMBED, "embed")                                                                                        \
    X(NORM, "norm")                                                                                          \
    X(C_ATTN, "attn.c_attn")                                                                                 \
    X(ATTENTION, "attention")                                                                                \
    X(ATTN_C_PROJ, "attn.c_proj")                                                                            \
    X(C_FC, "mlp.c_fc")                                                                                      \
    X(MLP_C_PROJ, "mlp.c_proj")                                                                              \
    X(LM_HEAD, "lm_head")

enum forward_part {
#define FORWARD_PART_ENUM(name, text) PART_##name,
    FORWARD_PART_MAP(FORWARD_PART_ENUM)
#undef FORWARD_PART_ENUM
        PART_COUNT
};

struct forward_profile {
    double seconds[PART_COUNT]; /* summed over passes and layers */
    double mark;                /* when the part under way began */
    /* Seconds that the caller of the passes spent on choosing tokens. The arg-max a pass computes itself
     * counts under LM_HEAD. */
    double sampling;
};

static inline void profile_begin(struct forward_profile *profile)
{
    if (profile) profile->mark = clock_seconds();
}
/* Counts the time since the last mark to `part`. NULL: nothing to do. */
static inline void profile_end(struct forward_profile *profile, enum forward_part part)
{
    if (!profile) return;
    double now = clock_seconds();
    profile->seconds[part] += now - profile->mark;
    profile->mark = now;
}
const char *forward_part_name(enum forward_part part);
#endif
