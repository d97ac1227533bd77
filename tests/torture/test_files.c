/* Files that are wrong, made by the dozen, each with the verdict expected of it: read as if nothing were the
 * matter, or refused with exit code 1 and one sentence that names the file. A run that crashes, hangs, leaks
 * (the sanitizer build says so) or passes over what it should refuse fails the test. The files of
 * tests/golden/data/gguf/bad and torch-bin/bad, whose verdicts stand beside them, run along. */
#include "tests/torture/wrong_files.h"
#include "base/memory.h"
#include "model/safetensors.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

static const char use_model[] = "generate -m ../bad -n 1 --ids 1\\ 2 --quiet -q f32 -j 1";
static const char use_tokenizer[] = "tokenize -m ../bad the\\ king";
static const char use_gpt2q[] = "generate -m ../bad/model.gpt2q -n 1 --quiet -j 1 a";

/* ---- JSON that is none ---- */

/* tokenizer_config.json of genuine models has such a number. */
static const char beyond[] = "beyond 2^53";
static const struct edit broken_json[] = {
    {"", "", "JSON"},
    {"", " ", "JSON"},
    {"", "{", "JSON"},
    {"", "[1,2", "JSON"},
    {"", "null", ""},
    {"", "[]", ""},
    {"", "7", ""},
    {"", "\"text\"", ""},
    {"", "{}x", "JSON"},
    {"", "{\"a\":1,}", "JSON"},
    {"", "{a:1}", "JSON"},
    {"", "{'a':1}", "JSON"},
    {"", "{\"a\":NaN}", "JSON"},
    {"", "{\"a\":01}", "JSON"},
    {"", "{\"a\":1 \"b\":2}", "JSON"},
    {"", "{\"a\":\"\x01\"}", "JSON"},
    {"", "{\"a\":\"\xFF\"}", ""},
    {"", "{\"a\":\"\\u0000\"}", ""},
    {"", "{\"a\":\"\\uD800\"}", ""},
    {"", "{\"a\":1,\"a\":2}", "twice"},
    {"", "{\"a\":9007199254740993}", beyond},
    {"", "/* c */ {}", "JSON"},
    {"", "\xFF\xFE{\0}", ""},
    {"", "{\"a\":1e999}", ""},
    {"", "{\"a\":tru}", "JSON"},
};

static void broken(const char *file, const char *line)
{
    char kind[64];
    snprintf(kind, sizeof kind, "%s: broken JSON", file);
    for (size_t i = 0; i < sizeof broken_json / sizeof *broken_json; i++) {
        struct edit e = broken_json[i];
        bool genuine = e.word == beyond && (strstr(file, "_config") || strstr(file, "special"));
        e.word = genuine ? NULL : "";
        try_edit(kind, line, file, "", 0, e);
    }
    snprintf(kind, sizeof kind, "%s: nested deeply", file);
    char *deep = malloc(400001);
    memset(deep, '[', 200000);
    memset(deep + 200000, ']', 200000);
    put_bad(file, deep, 400000);
    expect_verdict(kind, "[[[[...", line, file, "");
    free(deep);
}

static void json_that_is_none(void **state)
{
    (void)state;
    broken("config.json", use_model);
    broken("vocab.json", use_tokenizer);
    broken("tokenizer_config.json", use_tokenizer);
    broken("special_tokens_map.json", use_tokenizer);
    broken("added_tokens.json", use_tokenizer);
    broken("generation_config.json", use_model);
    broken("tokenizer.json", use_tokenizer);
    broken("model.safetensors.index.json", use_model);
}

/* ---- config.json ---- */

static void config_fields(void **state)
{
    (void)state;
    static const char *const integers[] = {"\"vocab_size\":257", "\"n_positions\":64", "\"n_embd\":32",
                                           "\"n_layer\":1", "\"n_head\":2"};
    static const char *const values[] = {
        "\"7\"", "null", "-1",   "0",     "1.5",  "2147483648", "9007199254740993",
        "[1]",   "{}",   "true", "1e300", "99999"};
    size_t n;
    char *text = slurp(in_scene("model/config.json"), &n), to[128], kind[128], name[64];
    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(integers[i], ":") + 1, integers[i]);
        snprintf(kind, sizeof kind, "config.json: %s", name);
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            snprintf(to, sizeof to, "%s%s", name, values[k]);
            try_edit(kind, use_model, "config.json", text, n, (struct edit){integers[i], to, ""});
        }
        snprintf(to, sizeof to, "%s,%s", integers[i], integers[i]);
        try_edit(kind, use_model, "config.json", text, n, (struct edit){integers[i], to, "twice"});
    }
    static const struct edit others[] = {
        {"\"activation_function\":\"relu\"", "\"activation_function\":\"softmax\"", "activation_function"},
        {"\"activation_function\":\"relu\"", "\"activation_function\":7", "activation_function"},
        {"\"activation_function\":\"relu\"", "\"activation_function\":[]", "activation_function"},
        {"\"model_type\":\"gpt2\"", "\"model_type\":\"llama\"", "model_type"},
        {"\"model_type\":\"gpt2\"", "\"model_type\":7", "model_type"},
        {"{", "{\"layer_norm_epsilon\":\"x\",", "layer_norm_epsilon"},
        {"{", "{\"layer_norm_epsilon\":-1,", "layer_norm_epsilon"},
        {"{", "{\"layer_norm_epsilon\":[1],", "layer_norm_epsilon"},
        {"{", "{\"layer_norm_epsilon\":1e999,", ""},
        {"{", "{\"layer_norm_epsilon\":0,", NULL},
        {"{", "{\"n_inner\":-1,", "n_inner"},
        {"{", "{\"n_inner\":1.5,", "n_inner"},
        {"{", "{\"n_inner\":\"128\",", "n_inner"},
        {"{", "{\"n_inner\":null,", NULL},
        {"{", "{\"n_inner\":128,", NULL},
        {"{", "{\"scale_attn_weights\":\"yes\",", "scale_attn_weights"},
        {"{", "{\"scale_attn_weights\":1,", "scale_attn_weights"},
        {"{", "{\"scale_attn_weights\":true,", NULL},
        {"{", "{\"add_cross_attention\":true,", "add_cross_attention"},
        {"{", "{\"tie_word_embeddings\":\"no\",", "tie_word_embeddings"},
        {"{", "{\"unknown_field\":{\"a\":[1,2]},", NULL},
        {"\"eos_token_id\":256", "\"eos_token_id\":\"x\"", "eos_token_id"},
        {"\"eos_token_id\":256", "\"eos_token_id\":1.5", "eos_token_id"},
        {"\"eos_token_id\":256", "\"eos_token_id\":{}", "eos_token_id"},
        {"\"eos_token_id\":256", "\"eos_token_id\":[\"x\"]", "eos_token_id"},
        {"\"eos_token_id\":256", "\"eos_token_id\":[1,[2]]", "eos_token_id"},
        {"\"eos_token_id\":256", "\"eos_token_id\":[1,2]", NULL},
        {"\"eos_token_id\":256", "\"eos_token_id\":50256", NULL},
        {"\"eos_token_id\":256", "\"eos_token_id\":null", NULL},
        {"\"bos_token_id\":256", "\"bos_token_id\":50256", NULL},
        {"\"bos_token_id\":256", "\"bos_token_id\":\"x\"", "bos_token_id"},
        {"\"bos_token_id\":256", "\"bos_token_id\":1.5", "bos_token_id"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t length = strcspn(strchr(others[i].to, '"') + 1, "\"");
        snprintf(kind, sizeof kind, "config.json: %.*s", (int)length, strchr(others[i].to, '"') + 1);
        try_edit(kind, use_model, "config.json", text, n, others[i]);
    }
    mem_free(text);
}

/* ---- safetensors and .gpt2q: headers ---- */

static uint64_t length_at(const char *data)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++) n |= (uint64_t)(uint8_t)data[i] << 8 * i;
    return n;
}

/* The header edited, its length too, the data as they are. */
static void try_header(const char *kind, const char *line, const char *file, const char *data, size_t n,
                       struct edit e)
{
    size_t length = (size_t)length_at(data), m;
    char *header = edited(data + 8, length, e, &m);
    if (!header) fail_msg("%s: the header has no '%s'", kind, e.from);
    size_t pad = (8 - m % 8) % 8, total = 8 + m + pad + (n - 8 - length);
    char *bad = malloc(total);
    for (int i = 0; i < 8; i++) bad[i] = (char)((m + pad) >> 8 * i);
    memcpy(bad + 8, header, m);
    memset(bad + 8 + m, ' ', pad);
    memcpy(bad + 8 + m + pad, data + 8 + length, n - 8 - length);
    put_bad(file, bad, total);
    expect_verdict(kind, *e.from ? e.to : "another header", line, file, e.word);
    free(bad);
    free(header);
}

static void try_length(const char *kind, const char *line, const char *file, const char *data, size_t n,
                       uint64_t length)
{
    char what[40], *bad = malloc(n);
    memcpy(bad, data, n);
    for (int i = 0; i < 8; i++) bad[i] = (char)(length >> 8 * i);
    snprintf(what, sizeof what, "%llu", (unsigned long long)length);
    put_bad(file, bad, n);
    expect_verdict(kind, what, line, file, "");
    free(bad);
}

static void lengths(const char *kind, const char *line, const char *file, const char *data, size_t n)
{
    uint64_t right = length_at(data);
    const uint64_t wrong[] = {0,
                              1,
                              2,
                              right - 1,
                              right + 1,
                              right * 2,
                              n,
                              n - 8,
                              n - 7,
                              (uint64_t)1 << 31,
                              (uint64_t)1 << 32,
                              (uint64_t)1 << 63,
                              UINT64_MAX,
                              UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) try_length(kind, line, file, data, n, wrong[i]);
}

static void cuts(const char *kind, const char *line, const char *file, const char *data, size_t n)
{
    const size_t at[] = {
        0,     1,      7,     8,     9,    100, (size_t)length_at(data) + 7, (size_t)length_at(data) + 8,
        n / 2, n - 64, n - 5, n - 4, n - 1};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        char what[40];
        snprintf(what, sizeof what, "%zu bytes", at[i]);
        put_bad(file, data, at[i]);
        expect_verdict(kind, what, line, file, "");
    }
}

static void safetensors_headers(void **state)
{
    (void)state;
    static const char file[] = "model.safetensors",
                      tensor[] = "\"wte.weight\":{\"dtype\":\"F32\",\"shape\":[257,32],\"data_offsets\":[";
    size_t n;
    char *data = slurp(in_scene("model/model.safetensors"), &n);
    if (!memmem(data, n, tensor, sizeof tensor - 1))
        fail_msg("the header is written another way: %.200s", data + 8);
    lengths("model.safetensors: length of the header", use_model, file, data, n);
    cuts("model.safetensors: cut", use_model, file, data, n);
    static const struct edit dtypes[] = {
        {"F32", "F31", ""},
        {"F32", "f32", ""},
        {"F32", "", ""},
        {"F32", "I32", ""},
        {"F32", "F16", ""},
        {"F32", "F64", ""},
        {"F32", "BOOL", ""},
        {"\"dtype\":\"F32\"", "\"dtype\":7", ""},
        {"\"dtype\":\"F32\",", "", ""},
        {"\"dtype\":\"F32\"", "\"dtype\":\"F32\",\"dtype\":\"F32\"", "twice"}};
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        try_header("model.safetensors: dtype", use_model, file, data, n, dtypes[i]);
    static const struct edit shapes[] = {
        {"[257,32]", "[32,257]", ""},    {"[257,32]", "[257,31]", ""},
        {"[257,32]", "[-257,-32]", ""},  {"[257,32]", "[257]", ""},
        {"[257,32]", "[]", ""},          {"[257,32]", "[257,32,1]", ""},
        {"[257,32]", "[257.5,32]", ""},  {"[257,32]", "[\"257\",32]", ""},
        {"[257,32]", "257", ""},         {"[257,32]", "[4294967296,4294967296]", ""},
        {"[257,32]", "[0,32]", ""},      {"[257,32]", "[9007199254740993,1]", ""},
        {"[257,32]", "[[257],32]", ""},  {"[257,32]", "null", ""},
        {"\"shape\":[257,32],", "", ""}, {"[257,32]", "[1,1,1,1,1,1,1,1,257,32]", ""}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        try_header("model.safetensors: shape", use_model, file, data, n, shapes[i]);
    static const struct edit offsets[] = {{"\"data_offsets\":[", "\"data_offsets\":[1,", ""},
                                          {"\"data_offsets\":[", "\"data_offsets\":[-", either} /* -0 is 0 */,
                                          {"\"data_offsets\":[", "\"data_offsets\":[9", ""},
                                          {"\"data_offsets\":[", "\"data_offsets\":[0.5,", ""},
                                          {"\"data_offsets\":[", "\"data_offset\":[", ""},
                                          {"\"data_offsets\":[", "\"data_offsets\":[\"0\",", ""},
                                          {"\"data_offsets\":[", "\"extra\":1,\"data_offsets\":[", either},
                                          {"\"data_offsets\":[", "\"data_offsets\":{},\"x\":[", ""}};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        try_header("model.safetensors: data_offsets", use_model, file, data, n, offsets[i]);
    static const struct edit names[] = {{"\"wte.weight\"", "\"wte.weigh\"", ""},
                                        {"\"wte.weight\"", "\"wpe.weight\"", ""},
                                        {"\"wte.weight\"", "\"\"", ""},
                                        {"\"wte.weight\"", "\"\\u0000\"", ""},
                                        {"{\"", "{\"__metadata__\":7,\"", ""},
                                        {"{\"", "{\"__metadata__\":{\"a\":1},\"", ""},
                                        {"{\"", "{\"__metadata__\":{\"format\":\"pt\"},\"", NULL},
                                        {"{\"", "{\"x\":7,\"", ""},
                                        {"{\"", "{\"x\":{},\"", ""},
                                        {"{\"", "{\"x\":[],\"", ""},
                                        {"{\"", " {\"", either}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        try_header("model.safetensors: names", use_model, file, data, n, names[i]);
    for (size_t i = 0; i < sizeof broken_json / sizeof *broken_json; i++)
        try_header("model.safetensors: broken JSON", use_model, file, data, n,
                   (struct edit){"", broken_json[i].to, ""});
    mem_free(data);
}

static void gpt2q_headers(void **state)
{
    (void)state;
    static const char file[] = "model.gpt2q";
    size_t n;
    char *data = slurp(in_scene("model.gpt2q"), &n);
    lengths("model.gpt2q: length of the header", use_gpt2q, file, data, n);
    cuts("model.gpt2q: cut", use_gpt2q, file, data, n);
    static const struct edit edits[] = {
        {"\"gpt2q.version\":\"", "\"gpt2q.version\":\"9", ""},
        {"\"gpt2q.version\":\"", "\"gpt2q.version\":\"x", ""},
        {"\"gpt2q.version\":\"", "\"gpt2q.version\":\"-", ""},
        {"\"gpt2q.version\"", "\"gpt2q.versio\"", ""},
        {"\"gpt2q.config\":\"{", "\"gpt2q.config\":\"", ""},
        {"\"gpt2q.config\"", "\"gpt2q.confi\"", ""},
        {"\"gpt2q.config\":\"{", "\"gpt2q.config\":\"[", ""},
        {"\"scheme.wte.weight\":\"", "\"scheme.wte.weight\":\"z", ""},
        {"\"scheme.wte.weight\":\"i8", "\"scheme.wte.weight\":\"i4", ""},
        {"\"scheme.wte.weight\"", "\"scheme.wte.weigh\"", ""},
        {"i8:channel:absmax", "i8:tensor:absmax", either},
        {"i8:channel:absmax", "i8:g7:absmax", either},
        {"i8:channel:absmax", "i8:channel:affine", either},
        {"i8:channel:absmax", "f32", either},
        {"i8:channel:absmax", "", either},
        {"\"scheme.wte.weight\":\"i8:channel:absmax\"", "\"scheme.wte.weight\":7", ""},
        {"\"wte.weight.codes\"", "\"wte.weight.code\"", ""},
        {"\"wte.weight.scale\"", "\"wte.weight.scal\"", ""},
        {"\"U8\"", "\"I8\"", ""},
        {"\"F32\"", "\"F16\"", ""},
        {"\"checksum\"", "\"checksun\"", either},
        {"\"tokenizer.vocab.json\"", "\"tokenizer.vocab.jso\"", either},
        {"\"tokenizer.merges.txt\"", "\"tokenizer.merges.tx\"", either},
        {"\"format\":\"gpt2q\"", "\"format\":\"pt\"", ""}};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        size_t length = (size_t)length_at(data);
        if (!memmem(data + 8, length, edits[i].from, strlen(edits[i].from))) {
            print_message("not in the header: %s\n", edits[i].from);
            continue;
        }
        try_header("model.gpt2q: metadata and tensors", use_gpt2q, file, data, n, edits[i]);
    }
    for (size_t i = 0; i < sizeof broken_json / sizeof *broken_json; i++)
        try_header("model.gpt2q: broken JSON", use_gpt2q, file, data, n,
                   (struct edit){"", broken_json[i].to, ""});
    mem_free(data);
}

/* ---- vocabularies ---- */

static void vocabularies(void **state)
{
    (void)state;
    size_t n;
    char *text = slurp(in_scene("model/vocab.json"), &n);
    static const struct edit ids[] = {{"\"a\":97", "\"a\":-1", ""},
                                      {"\"a\":97", "\"a\":1.5", ""},
                                      {"\"a\":97", "\"a\":\"97\"", ""},
                                      {"\"a\":97", "\"a\":null", ""},
                                      {"\"a\":97", "\"a\":[97]", ""},
                                      {"\"a\":97", "\"a\":2147483648", ""},
                                      {"\"a\":97", "\"a\":9007199254740993", ""},
                                      {"\"a\":97", "\"a\":1e300", ""},
                                      {"\"a\":97", "\"a\":true", ""},
                                      {"\"a\":97", "\"a\":97,\"a\":97", "twice"}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        try_edit("vocab.json: an id", use_tokenizer, "vocab.json", text, n, ids[i]);
    mem_free(text);
    static const struct edit merges[] = {{"", "#version: 0.2\nt\n", ""},
                                         {"", "#version: 0.2\nt h e\n", ""},
                                         {"", "#version: 0.2\nt  h\n", ""},
                                         {"", "#version: 0.2\nt q\n", ""},
                                         {"", "#version: 0.2\nnope nope\n", ""},
                                         {"", "\xFF \xFE\n", ""},
                                         {"", "", NULL},
                                         {"", "#version: 0.2\n\n\n", ""},
                                         {"", "#version: 0.2\r\n", NULL}};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        try_edit("merges.txt: a line", use_tokenizer, "merges.txt", "", 0, merges[i]);
    static const struct edit added[] = {{"", "{\"<x>\":\"5\"}", ""},
                                        {"", "{\"<x>\":-5}", ""},
                                        {"", "{\"<x>\":1.5}", ""},
                                        {"", "{\"<x>\":4294967296}", ""},
                                        {"", "{\"\":256}", NULL},
                                        {"", "{\"<x>\":257}", NULL},
                                        {"", "{}", NULL}};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++)
        try_edit("added_tokens.json: a token", use_tokenizer, "added_tokens.json", "", 0, added[i]);
    static const struct edit configs[] = {
        {"", "{\"add_prefix_space\":\"yes\"}", ""},
        {"", "{\"add_prefix_space\":true}", NULL},
        {"", "{\"add_bos_token\":7}", ""},
        {"", "{\"model_max_length\":1000000000000000019884624838656}", NULL},
        {"", "{\"added_tokens_decoder\":7}", ""},
        {"", "{\"added_tokens_decoder\":{\"x\":{}}}", ""},
        {"", "{\"added_tokens_decoder\":{\"256\":7}}", ""}};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        try_edit("tokenizer_config.json: a field", use_tokenizer, "tokenizer_config.json", "", 0, configs[i]);
}

static void tokenizer_documents(void **state)
{
    (void)state;
    static const struct edit edits[] = {
        {"", "{\"model\":7}", ""},
        {"", "{\"model\":{}}", ""},
        {"", "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", ""},
        {"", "{\"model\":{\"type\":\"BPE\",\"vocab\":[],\"merges\":[]}}", ""},
        {"", "{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[7]}}", ""},
        {"", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", ""},
        {"", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",\"b\"]]}}", ""},
        {"",
         "{\"normalizer\":{\"type\":\"Lowercase\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
         "\"merges\":[]}}",
         "normalizer"},
        {"",
         "{\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
         "\"merges\":[]}}",
         ""},
        {"", "{\"added_tokens\":7,\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}", ""},
        {"",
         "{\"added_tokens\":[{\"id\":-1,\"content\":\"x\"}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
         "\"merges\":[]}}",
         ""}};
    char command[3000];
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        put_bad("tokenizer.json", edits[i].to, strlen(edits[i].to));
        snprintf(command, sizeof command, "rm -f '%s/bad/vocab.json' '%s/bad/merges.txt'", scene.directory,
                 scene.directory);
        assert_int_equal(system(command), 0);
        expect_verdict("tokenizer.json: alone", edits[i].to, use_tokenizer, "tokenizer.json", edits[i].word);
    }
}

/* ---- batch inputs, logits, explain ---- */

static const char *const good_line = "{\"prompt\":\"a\",\"max_tokens\":1}";

/* One bad line among good ones: its answer is an error, theirs are not. */
static void bad_line(const char *kind, const char *line, bool refused)
{
    char text[1024], answer[64];
    begin_file(kind);
    snprintf(text, sizeof text, "%s\n%s\n%s\n", good_line, line, good_line);
    write_file(in_scene("bad.jsonl"), text, strlen(text));
    struct outcome o = run_with(scene.run, "batch ../bad.jsonl --quiet -j 1",
                                (struct streams){"../empty", "stdout", "stderr", 0, 0},
                                (struct fault){FAULT_ALLOCATION, -1, 0});
    size_t n;
    char *out = slurp(in_scene("run/stdout"), &n);
    snprintf(answer, sizeof answer, "{\"index\":1,\"id\":");
    const char *second = strchr(out, '\n'), *error = second ? strstr(second, "\"error\":") : NULL;
    size_t lines = 0;
    for (size_t i = 0; i < n; i++) lines += out[i] == '\n';
    if (o.code != (refused ? 1 : 0) || lines != 3 || !!error != refused ||
        (error && !strstr(error, "line 2")))
        complain(kind, line, o.code, out, refused ? "an error line" : "an answer");
    mem_free(out);
}

static void batch_inputs(void **state)
{
    (void)state;
    static const char *const fields[] = {"max_tokens", "temperature", "top_p",    "top_k",
                                         "seed",       "stop",        "logprobs", "n",
                                         "echo",       "prompt",      "min_p",    "repetition_penalty"};
    static const char *const values[] = {"\"x\"", "-1", "1e999", "[[]]", "{}", "9007199254740993"};
    char line[256], kind[64];
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        snprintf(kind, sizeof kind, "batch: %s", fields[i]);
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            bool text = k == 0 && (!strcmp(fields[i], "stop") || !strcmp(fields[i], "prompt"));
            snprintf(line, sizeof line, "{%s\"%s\":%s}",
                     strcmp(fields[i], "prompt") ? "\"prompt\":\"a\"," : "", fields[i], values[k]);
            bad_line(kind, line, !text);
        }
    }
    static const char *const lines[] = {"{",
                                        "[]",
                                        "7",
                                        "null",
                                        "{\"prompt\":\"a\"}}",
                                        "{\"prompt\":\"a\",\"prompt\":\"b\"}",
                                        "{\"nonsense\":1,\"prompt\":\"a\"}",
                                        "{}",
                                        "{\"prompt\":\"\\u0000\"}",
                                        "{\"prompt\":\"\xFF\"}",
                                        "{\"prompt\":[257]}",
                                        "{\"prompt\":[-1]}",
                                        "{\"prompt\":[1.5]}",
                                        "{\"prompt\":[\"a\"]}",
                                        "not json",
                                        "{\"prompt\":\"a\",\"stop\":[\"\"]}"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) bad_line("batch: a line", lines[i], true);
}

static void logits_files(void **state)
{
    (void)state;
    static const char line[] = "eval --reference ../bad/reference.safetensors --quiet -j 1",
                      file[] = "reference.safetensors";
    struct streams s = {"../empty", "stdout", "stderr", 0, 0};
    assert_int_equal(
        wait_for_end(start_program(
            scene.run,
            "eval --text ../text.txt --window 32 --limit 64 --logits ../reference.safetensors --quiet -j 1",
            s)),
        0);
    size_t n;
    char *data = slurp(in_scene("reference.safetensors"), &n);
    put_bad(file, data, n);
    expect_verdict("logits: in order", "as it is", line, file, NULL);
    lengths("logits: length of the header", line, file, data, n);
    cuts("logits: cut", line, file, data, n);
    for (size_t i = 0; i < sizeof broken_json / sizeof *broken_json; i++)
        try_header("logits: broken JSON", line, file, data, n, (struct edit){"", broken_json[i].to, ""});
    static const struct edit edits[] = {{"F32", "F16", ""},
                                        {"\"shape\":[", "\"shape\":[1,", ""},
                                        {"logits", "logit", ""},
                                        {"I64", "F64", ""},
                                        {"I32", "F32", ""}};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        if (memmem(data, n, edits[i].from, strlen(edits[i].from)))
            try_header("logits: tensors", line, file, data, n, edits[i]);
    mem_free(data);
}

static void matrices_to_explain(void **state)
{
    (void)state;
    static const struct edit edits[] = {{"", "{\"W\":[[1,2],[3]],\"x\":[1,2]}", ""},
                                        {"", "{\"W\":[[1,2]],\"x\":[1]}", ""},
                                        {"", "{\"W\":[],\"x\":[]}", ""},
                                        {"", "{\"W\":[[\"a\"]],\"x\":[1]}", ""},
                                        {"", "{\"W\":7,\"x\":[1]}", ""},
                                        {"", "{\"x\":[1]}", ""},
                                        {"", "{\"W\":[[1]]}", ""},
                                        {"", "{\"W\":[[1e300]],\"x\":[1]}", ""},
                                        {"", "{\"W\":[[1]],\"x\":[1],\"y\":1}", "unknown key"},
                                        {"", "{\"W\":[[1,2]],\"x\":[1,2]}", NULL}};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++)
        try_edit("explain: a matrix", "explain ../bad/m.json", "m.json", "", 0, edits[i]);
    for (size_t i = 0; i < sizeof broken_json / sizeof *broken_json; i++)
        try_edit("explain: broken JSON", "explain ../bad/m.json", "m.json", "", 0,
                 (struct edit){"", broken_json[i].to, ""});
}

/* ---- the files of others: verdicts stand beside them ---- */

static void directory_of(const char *kind, const char *directory, const char *ending)
{
    char line[PATH_MAX + 300], path[PATH_MAX + 280], *root = realpath(repo_path(directory), NULL);
    assert_non_null(root);
    DIR *d = opendir(root);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ending)) continue;
        snprintf(path, sizeof path, "%s/%s", root, e->d_name);
        snprintf(line, sizeof line, "inspect %s", path);
        bool good = strstr(e->d_name, "ok.") != NULL;
        expect_verdict(kind, e->d_name, line, e->d_name, good ? NULL : either);
    }
    closedir(d);
    free(root);
}

static void files_of_others(void **state)
{
    (void)state;
    directory_of("gguf", "tests/golden/data/gguf/bad", ".gguf");
    directory_of("pytorch_model.bin", "tests/golden/data/torch-bin/bad", ".bin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_that_is_none),   cmocka_unit_test(config_fields),
        cmocka_unit_test(safetensors_headers), cmocka_unit_test(gpt2q_headers),
        cmocka_unit_test(vocabularies),        cmocka_unit_test(tokenizer_documents),
        cmocka_unit_test(batch_inputs),        cmocka_unit_test(logits_files),
        cmocka_unit_test(matrices_to_explain), cmocka_unit_test(files_of_others),
        cmocka_unit_test(enough_was_tried),
    };
    return cmocka_run_group_tests(tests, scene_open, scene_close);
}
