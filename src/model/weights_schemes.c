/* The base scheme, and overrides "GLOB=SPEC" by tensor name; the last match wins. Matrices take any
 * scheme. All other tensors are floats, which only `notes` quantizes. A pattern may cover them together
 * with matrices ("h.0.*=i8"). A pattern that names no matrix would silently do nothing and is refused. */
#include "model/weights_schemes.h"
#include "base/memory.h"
#include "model/weights_names.h"
#include <fnmatch.h>
#include <string.h>

struct scheme weight_scheme(enum weight_part part, struct scheme asked)
{
    return weight_is_matrix(part) || scheme_is_notes(asked) ? asked : (struct scheme){.format = QF_F32};
}

struct override {
    char *glob;
    struct scheme scheme;
};

static gpt2q_status parse_override(const char *text, struct override *o, gpt2q_error *err)
{
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text) {
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "override \"%s\" is not of the form GLOB=SPEC", text);
    }
    gpt2q_status s = scheme_parse(equals + 1, &o->scheme, err);
    if (s) return s;
    o->glob = mem_memdup(text, (size_t)(equals - text));
    return o->glob ? GPT2Q_OK : error_memory(err, "an override", strlen(text));
}

static gpt2q_status apply(const struct override *o, const gpt2q_config *config, struct scheme *schemes,
                          bool *head_named, gpt2q_error *err)
{
    size_t matched = 0, effective = 0;
    char name[WEIGHT_NAME_MAX], first[WEIGHT_NAME_MAX] = "";
    for (size_t i = 0; i < weight_slots(config); i++) {
        struct weight_id id = weight_at(config, i);
        if (fnmatch(o->glob, weight_print(id, name), 0) != 0) continue;
        if (!matched++) memcpy(first, name, sizeof first);
        schemes[i] = weight_scheme(id.part, o->scheme);
        effective += scheme_equal(schemes[i], o->scheme);
        if (id.part == PART_LM_HEAD) *head_named = true;
    }
    char spec[SCHEME_TEXT_MAX];
    if (!matched)
        return error_set(err, GPT2Q_INVALID_ARGUMENT, "override \"%s\": no tensor has such a name", o->glob);
    if (effective) return GPT2Q_OK;
    return error_set(err, GPT2Q_INVALID_ARGUMENT,
                     "override \"%s\": %s is no matrix of a linear layer and stays f32, not %s", o->glob,
                     first, scheme_print(o->scheme, spec));
}

gpt2q_status weights_choose_schemes(const gpt2q_config *config, const struct weights_params *params,
                                    bool tied, struct scheme *schemes, bool *mixed, gpt2q_error *err)
{
    bool head_named = false;
    size_t n = weight_slots(config);
    for (size_t i = 0; i < n; i++) {
        const enum weight_part part = weight_at(config, i).part;
        schemes[i] = params->stored && weight_is_matrix(part) ? params->stored[i]
                                                              : weight_scheme(part, params->scheme);
    }
    for (size_t i = 0; i < params->n_overrides; i++) {
        struct override o = {0};
        gpt2q_status s = parse_override(params->overrides[i], &o, err);
        if (!s) s = apply(&o, config, schemes, &head_named, err);
        mem_free(o.glob);
        if (s) return s;
    }
    size_t head = weight_slot(config, (struct weight_id){PART_LM_HEAD, 0});
    size_t wte = weight_slot(config, (struct weight_id){PART_WTE, 0});
    if (tied && !head_named) schemes[head] = schemes[wte];
    *mixed = false;
    for (size_t i = 0; i < n; i++) {
        if (!scheme_equal(schemes[i], weight_scheme(weight_at(config, i).part, params->scheme)))
            *mixed = true;
    }
    return GPT2Q_OK;
}
