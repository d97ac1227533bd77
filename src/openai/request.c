#include "openai/request.h"
#include "base/memory.h"
#include <float.h>
#include <string.h>

static const char *const known[] = {
    "model", "prompt", "max_tokens", "max_completion_tokens", "min_tokens", "temperature", "top_p", "top_k",
    "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty", "logit_bias", "allowed_token_ids",
    "stop", "stop_token_ids", "include_stop_str_in_output", "ignore_eos", "n", "best_of", "seed", "logprobs",
    "prompt_logprobs", "echo", "stream", "stream_options", "suffix", "truncate_prompt_tokens",
    "return_token_ids", "return_tokens_as_token_ids", "speculate", "timings", "response_format",
    /* not done here */
    "tools", "tool_choice", "structured_outputs", "grammar", "guided_json", "guided_regex", "guided_choice",
    "guided_grammar",
    /* clients send them; they change nothing */
    "user", "metadata", "store", "service_tier", "session_id", "safety_identifier", "prompt_cache_key",
    "cache_prompt", "add_special_tokens", "spaces_between_special_tokens", "skip_special_tokens", "priority",
    "use_beam_search", "length_penalty"};

static gpt2q_status unsupported(const struct fields *f, const char *key, const char *why)
{
    return openai_error_set(f->err, GPT2Q_UNSUPPORTED, "unsupported_parameter", key, "%s is not supported%s",
                            key, why);
}

/* ---- fields that are refused unless they ask for nothing ---- */

enum nothing { NO_VALUE, FALSE_ONLY, TRUE_ONLY, EMPTY_TEXT, ZERO, ONE };

static bool asks_nothing(const cJSON *item, enum nothing nothing)
{
    switch (nothing) {
    case FALSE_ONLY: return cJSON_IsFalse(item);
    case TRUE_ONLY: return cJSON_IsTrue(item);
    case EMPTY_TEXT: return cJSON_IsString(item) && !*item->valuestring;
    case ZERO: return cJSON_IsNumber(item) && item->valuedouble == 0;
    case ONE: return cJSON_IsNumber(item) && item->valuedouble == 1;
    default: return false;
    }
}

static gpt2q_status refuse_others(const struct fields *f)
{
    static const char *const unless[] = {
        [NO_VALUE] = "",
        [FALSE_ONLY] = " unless it is false",
        [TRUE_ONLY] = " unless it is true",
        [EMPTY_TEXT] = " unless it is empty",
        [ZERO] = " unless it is 0",
        [ONE] = " unless it is 1",
    };
    static const struct {
        const char *key;
        enum nothing nothing;
    } others[] = {
        {"tools", NO_VALUE},
        {"tool_choice", NO_VALUE},
        {"structured_outputs", NO_VALUE},
        {"grammar", NO_VALUE},
        {"include_stop_str_in_output", FALSE_ONLY},
        {"use_beam_search", FALSE_ONLY},
        {"skip_special_tokens", TRUE_ONLY},
        {"suffix", EMPTY_TEXT},
        {"priority", ZERO},
        {"length_penalty", ONE},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const cJSON *item = field_find(f, others[i].key);
        if (item && !asks_nothing(item, others[i].nothing))
            return unsupported(f, others[i].key, unless[others[i].nothing]);
    }
    for (const cJSON *item = f->object->child; item; item = item->next)
        if (!strncmp(item->string, "guided_", 7) && !cJSON_IsNull(item))
            return unsupported(f, item->string, "");
    const cJSON *item = field_find(f, "response_format");
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(item, "type");
    if (item && !(cJSON_IsString(type) && !strcmp(type->valuestring, "text")))
        return unsupported(f, "response_format", " unless its type is \"text\"");
    return GPT2Q_OK;
}

/* ---- fields that are done ---- */

static gpt2q_status read_max_tokens(const struct fields *f, struct openai_request *out)
{
    gpt2q_status s = field_integer(f, "max_tokens", 0, FIELD_ANY, &out->request.max_tokens);
    if (!s) s = field_integer(f, "max_completion_tokens", 0, FIELD_ANY, &out->request.max_tokens);
    if (!s && field_find(f, "max_tokens") && field_find(f, "max_completion_tokens"))
        s = openai_error_set(
            f->err, GPT2Q_FORMAT, "invalid_value", "max_completion_tokens",
            "max_tokens and max_completion_tokens are one field: only one of them may be given");
    return s;
}

static gpt2q_status read_sampling(const struct fields *f, double max_temperature, gpt2q_sampling *o)
{
    int32_t top_k = o->top_k;
    gpt2q_status s =
        field_float(f, "temperature", 0, max_temperature > 0 ? max_temperature : 2, &o->temperature);
    if (!s) s = field_real(f, "top_p", 0, 1, &o->top_p);
    if (!s) s = field_integer(f, "top_k", -1, FIELD_ANY, &top_k);
    if (!s) s = field_float(f, "min_p", 0, 1, &o->min_p);
    if (!s) s = field_float(f, "repetition_penalty", 1e-6, 10, &o->repetition_penalty);
    if (!s) s = field_float(f, "frequency_penalty", -2, 2, &o->frequency_penalty);
    if (!s) s = field_float(f, "presence_penalty", -2, 2, &o->presence_penalty);
    o->top_k = top_k < 0 ? 0 : top_k;              /* 0 and -1: all */
    if (o->top_p == 0) o->top_p = (double)FLT_MIN; /* the API's 0: the likeliest token alone */
    return s;
}

/* A number, or true for 1 and false for none. */
static gpt2q_status read_logprobs(const struct fields *f, const char *key, int32_t *out)
{
    const cJSON *item = field_find(f, key);
    *out = -1;
    if (!cJSON_IsBool(item)) return field_integer(f, key, 0, OPENAI_LOGPROBS_MAX, out);
    *out = cJSON_IsTrue(item) ? 1 : -1;
    return GPT2Q_OK;
}

static gpt2q_status read_samples(const struct fields *f, struct openai_request *out)
{
    gpt2q_status s = field_integer(f, "n", 1, 128, &out->n);
    int32_t best_of = out->n;
    if (!s) s = field_integer(f, "best_of", 1, 128, &best_of);
    if (!s && best_of > 20 && best_of > out->n)
        s = openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "best_of",
                             "best_of must be at most 20, not %d", (int)best_of);
    if (!s && best_of < out->n)
        s = openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "best_of",
                             "best_of must be at least n (%d), not %d", (int)out->n, (int)best_of);
    out->request.n_samples = best_of;
    if (!s) s = field_seed(f, "seed", -FIELD_ANY, &out->request.sampling.seed);
    out->has_seed = field_find(f, "seed") != NULL;
    return s;
}

static gpt2q_status read_token_rules(const struct fields *f, const struct openai_rules *rules,
                                     struct openai_request *out)
{
    gpt2q_request *r = &out->request;
    int32_t size = rules->prompts.vocab_size;
    gpt2q_status s =
        field_ids(f, "stop_token_ids", OPENAI_STOP_IDS_MAX, size, &out->stop_ids, &r->n_stop_ids);
    if (!s)
        s = field_ids(f, "allowed_token_ids", size ? (size_t)size : SIZE_MAX, size, &out->allowed,
                      &r->n_allowed);
    if (!s && out->allowed && !r->n_allowed)
        s = openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "allowed_token_ids",
                             "allowed_token_ids must have at least one id");
    if (!s) s = field_bias(f, "logit_bias", OPENAI_BIAS_MAX, size, &out->bias, &r->n_logit_bias);
    r->stop_ids = out->stop_ids;
    r->allowed = out->allowed;
    r->logit_bias = out->bias;
    if (!s) s = field_integer(f, "min_tokens", 0, FIELD_ANY, &r->min_tokens);
    if (!s && r->min_tokens > r->max_tokens)
        s = openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "min_tokens",
                             "min_tokens must be at most max_tokens (%d), not %d", (int)r->max_tokens,
                             (int)r->min_tokens);
    return s;
}

/* What all samples ask for together. */
static gpt2q_status check_amount(const struct fields *f, const struct openai_rules *rules,
                                 const struct openai_request *r)
{
    int64_t choices = (int64_t)r->n_prompts * r->request.n_samples, tokens = choices * r->request.max_tokens;
    if (rules->most_choices && choices > rules->most_choices)
        return openai_error_set(f->err, GPT2Q_FORMAT, "too_many", "n",
                                "prompts times samples are %lld where %d are possible", (long long)choices,
                                (int)rules->most_choices);
    if (rules->most_tokens && tokens > rules->most_tokens)
        return openai_error_set(f->err, GPT2Q_FORMAT, "too_many", "max_tokens",
                                "%lld tokens are asked for, all choices together, where %lld are possible",
                                (long long)tokens, (long long)rules->most_tokens);
    return GPT2Q_OK;
}

void openai_request_settle(struct openai_request *r)
{
    bool prompt = r->prompt_logprobs >= 0;
    r->request.n_logprobs = r->logprobs > r->prompt_logprobs ? r->logprobs : r->prompt_logprobs;
    if (r->request.n_samples > r->n && r->request.n_logprobs < 0)
        r->request.n_logprobs = 0; /* to rank them */
    r->request.echo = r->echo || prompt;
    r->request.ranks = prompt;
}

static gpt2q_status read_stops(const struct fields *f, struct openai_request *out)
{
    bool present;
    gpt2q_status s = field_texts(f, "stop", OPENAI_STOPS_MAX, out->stops, &out->request.n_stop, &present);
    out->request.stop = (const char *const *)out->stops;
    for (size_t i = 0; !s && i < out->request.n_stop; i++)
        if (strlen(out->stops[i]) > OPENAI_STOP_MAX)
            s = openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "stop",
                                 "stop: a string has %zu bytes where %d are possible", strlen(out->stops[i]),
                                 OPENAI_STOP_MAX);
    return s;
}

static gpt2q_status read_truncation(const struct fields *f, struct openai_request *out)
{
    int32_t keep = 0;
    gpt2q_status s = field_integer(f, "truncate_prompt_tokens", -1, FIELD_ANY, &keep);
    if (!s && !keep && field_find(f, "truncate_prompt_tokens"))
        s = openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "truncate_prompt_tokens",
                             "truncate_prompt_tokens must be -1 or at least 1, not 0");
    out->request.truncate_left = keep == -1;
    out->request.keep_last = keep > 0 ? keep : 0;
    return s;
}

static gpt2q_status read_stream(const struct fields *f, const struct openai_rules *rules,
                                struct openai_request *out)
{
    static const char *const names[] = {"include_usage", "continuous_usage_stats"};
    gpt2q_status s = field_bool(f, "stream", &out->stream);
    if (!s && out->stream && !rules->streams) return unsupported(f, "stream", " here");
    const cJSON *item = field_find(f, "stream_options");
    if (s || !item) return s;
    if (!cJSON_IsObject(item))
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_type", "stream_options",
                                "stream_options must be an object");
    if (!out->stream && item->child)
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "stream_options",
                                "stream_options must not be given unless stream is true");
    struct fields o = {.object = item, .err = f->err};
    s = field_check_names(&o, names, 2);
    if (!s) s = field_bool(&o, names[0], &out->include_usage);
    return s ? s : field_bool(&o, names[1], &out->continuous_usage);
}

static gpt2q_status read_flags(const struct fields *f, struct openai_request *out)
{
    gpt2q_status s = field_bool(f, "echo", &out->echo);
    if (!s) s = field_bool(f, "ignore_eos", &out->request.ignore_eos);
    if (!s) s = field_bool(f, "timings", &out->timings);
    if (!s) s = field_bool(f, "return_token_ids", &out->return_token_ids);
    if (!s) s = field_bool(f, "return_tokens_as_token_ids", &out->return_tokens_as_token_ids);
    if (!s) s = field_integer(f, "speculate", 0, 64, &out->request.speculate);
    if (!s && out->request.max_tokens == 0 && !out->echo)
        s = openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "max_tokens",
                             "max_tokens must be at least 1 unless echo is true, not 0");
    return s;
}

/* An empty prompt stands for <|endoftext|>, the API's default. */
static gpt2q_status read_prompts(const struct fields *f, const struct openai_rules *rules,
                                 struct openai_request *out)
{
    gpt2q_status s = field_prompts(f, "prompt", &rules->prompts, &out->prompts, &out->n_prompts);
    if (s || out->n_prompts) return s;
    out->prompts = mem_zarray(1, sizeof *out->prompts);
    if (out->prompts) out->n_prompts = 1, out->prompts->text = mem_strdup("");
    return out->prompts && out->prompts->text ? GPT2Q_OK
                                              : openai_error_set(f->err, GPT2Q_OUT_OF_MEMORY, "out_of_memory",
                                                                 NULL, "out of memory: a request");
}

/* Best of several is known when all have ended. */
static gpt2q_status check_stream(const struct fields *f, const struct openai_request *out)
{
    if (out->stream && out->request.n_samples > out->n)
        return openai_error_set(f->err, GPT2Q_FORMAT, "invalid_value", "best_of",
                                "best_of must equal n where stream is true");
    if (out->stream && out->prompt_logprobs >= 0)
        return openai_error_set(
            f->err, GPT2Q_FORMAT, "invalid_value", "prompt_logprobs",
            "prompt_logprobs must not be given where stream is true: use echo with logprobs");
    return GPT2Q_OK;
}

gpt2q_status openai_request_read(const cJSON *body, const struct openai_rules *rules,
                                 struct openai_request *out, struct openai_error *err)
{
    struct fields f = {.object = body, .err = err};
    *out = (struct openai_request){.request = gpt2q_request_default(), .n = 1};
    out->request.max_tokens = 16;
    out->request.sampling.temperature = 1;
    out->request.sampling.seed = rules->seed;
    out->request.speculate = rules->speculate;
    gpt2q_status s = GPT2Q_OK;
    if (!cJSON_IsObject(body))
        s = openai_error_set(err, GPT2Q_FORMAT, "invalid_type", NULL, "the request must be a JSON object");
    if (!s) s = refuse_others(&f);
    if (!s && !rules->ignore_unknown) s = field_check_names(&f, known, sizeof known / sizeof *known);
    if (!s) s = field_text(&f, "model", &out->model);
    if (!s) s = read_max_tokens(&f, out);
    if (!s) s = read_sampling(&f, rules->max_temperature, &out->request.sampling);
    if (!s) s = read_logprobs(&f, "logprobs", &out->logprobs);
    if (!s) s = read_logprobs(&f, "prompt_logprobs", &out->prompt_logprobs);
    if (!s) s = read_samples(&f, out);
    if (!s) s = read_stops(&f, out);
    if (!s) s = read_token_rules(&f, rules, out);
    if (!s) s = read_truncation(&f, out);
    if (!s) s = read_stream(&f, rules, out);
    if (!s) s = read_flags(&f, out);
    if (!s) s = read_prompts(&f, rules, out);
    if (!s) s = check_stream(&f, out);
    if (!s) s = check_amount(&f, rules, out);
    if (rules->max_tokens && out->request.max_tokens > rules->max_tokens)
        out->request.max_tokens = rules->max_tokens;
    if (out->request.min_tokens > out->request.max_tokens) out->request.min_tokens = out->request.max_tokens;
    openai_request_settle(out);
    return s;
}

void openai_request_free(struct openai_request *r)
{
    mem_free(r->model);
    for (size_t i = 0; i < REQUEST_STOPS_MAX; i++) mem_free(r->stops[i]);
    mem_free(r->stop_ids);
    mem_free(r->allowed);
    mem_free(r->bias);
    prompts_free(r->prompts, r->n_prompts);
    *r = (struct openai_request){0};
}
