/* The safetensors container: the reference's own malformed files, every truncation and every changed byte
 * of a header, and the writer's output. Files lie before an unreadable page, so reading beyond them is
 * found. */
#include "tests/support.h"
#include "base/memory.h"
#include "model/safetensors.h"

struct image {
    uint8_t *bytes;
    size_t size;
};

/* Length, header, and so many bytes of data. */
static struct image image_of(const char *header, size_t header_size, size_t data)
{
    struct image f = {.size = 8 + header_size + data};
    f.bytes = guard_alloc(f.size);
    for (int i = 0; i < 8; i++) f.bytes[i] = (uint8_t)((uint64_t)header_size >> (8 * i));
    memcpy(f.bytes + 8, header, header_size);
    for (size_t i = 0; i < data; i++) f.bytes[8 + header_size + i] = (uint8_t)i;
    return f;
}

static gpt2q_status open_image(const char *header, size_t data, struct safetensors *st, struct image *f,
                               gpt2q_error *err)
{
    *f = image_of(header, strlen(header), data);
    return safetensors_from_memory(f->bytes, f->size, "x.safetensors", st, err);
}

static void refused(const char *header, size_t data, const char *because)
{
    struct safetensors st;
    struct image f;
    gpt2q_error err;
    if (!open_image(header, data, &st, &f, &err)) fail_msg("%s was accepted", header);
    if (!strstr(err.message, because) || !strstr(err.message, "x.safetensors"))
        fail_msg("%s gave '%s', not '%s'", header, err.message, because);
    assert_null(st.tensors);
    guard_free(f.bytes, f.size);
}

static void accepted(const char *header, size_t data, size_t n_tensors)
{
    struct safetensors st;
    struct image f;
    gpt2q_error err;
    if (open_image(header, data, &st, &f, &err)) fail_msg("%s: %s", header, err.message);
    assert_int_equal(st.n_tensors, n_tensors);
    safetensors_close(&st);
    guard_free(f.bytes, f.size);
}

#define I32(name, shape, begin, end)                                                                         \
    "\"" name "\":{\"dtype\":\"I32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void reads_tensors_in_the_order_of_their_data(void **state)
{
    (void)state;
    struct safetensors st;
    struct image f;
    const char *header =
        "  {" I32("b", "[2,2]", "8", "24") ",\"__metadata__\":{\"format\":\"pt\",\"k\":\"\"}," I32(
            "a", "[2]", "0", "8") ","
                                  "\"s\":{\"data_offsets\":[24,26],\"dtype\":\"BF16\",\"shape\":[]},\"e\":{"
                                  "\"dtype\":\"F64\",\"shape\":[0,3],\"data_offsets\":[8,8]}}   ";
    assert_int_equal(open_image(header, 26, &st, &f, NULL), GPT2Q_OK);
    static const char *const order[] = {"a", "e", "b", "s"};
    assert_int_equal(st.n_tensors, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(st.tensors[i].name, order[i]);
        assert_ptr_equal(safetensors_find(&st, order[i]), &st.tensors[i]);
    }
    const struct st_tensor *b = safetensors_find(&st, "b"), *s = safetensors_find(&st, "s");
    assert_true(b->dtype == ST_I32 && b->n_dims == 2 && b->shape[0] == 2 && b->shape[1] == 2 &&
                b->size == 16 && b->data[0] == 8);
    assert_true(s->dtype == ST_BF16 && s->n_dims == 0 && s->size == 2 && s->data[0] == 24);
    assert_null(safetensors_find(&st, "c"));
    assert_string_equal(safetensors_metadata(&st, "format"), "pt");
    assert_string_equal(safetensors_metadata(&st, "k"), "");
    assert_null(safetensors_metadata(&st, "a"));
    safetensors_close(&st);
    guard_free(f.bytes, f.size);
}

static void accepts_the_unusual(void **state)
{
    (void)state;
    accepted("{}", 0, 0);
    accepted("\n\t {} \r\n", 0, 0);
    accepted("{\"__metadata__\":{}}", 0, 0);
    accepted("{" I32("", "[1]", "0", "4") "}", 4, 1);
    accepted("{" I32("a", "[0]", "0", "0") "," I32("b", "[2,0]", "0", "0") "}", 0, 2);
    accepted("{\"a\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]}}", 2, 1);
    accepted("{" I32("a", "[1,1,1,1,1,1,1,1]", "0", "4") "}", 4, 1);
}

/* The reference's unit cases, and some of its attacks. */
static void refuses_malformed_headers(void **state)
{
    (void)state;
    refused("{" I32("a", "[2,18446744073709551614]", "0", "16") "}", 16, "2^53");
    refused("{" I32("a", "[2,9223372036854775807]", "0", "16") "}", 16, "2^53");
    refused("{" I32("a", "[4503599627370496,4503599627370496]", "0", "16") "}", 16,
            "shape of a makes no possible number of bytes");
    refused("{" I32("a", "[2251799813685248,2048]", "0", "16") "}", 16,
            "shape of a makes no possible number of bytes");
    refused("{" I32("a", "[2,2]", "0", "4") "}", 16,
            "a has 4 bytes of data, its shape and dtype I32 make 16");
    refused("{" I32("a", "[2,2]", "0", "16") "}", 17, "the tensors have 16 bytes, the file has 17");
    refused("{" I32("a", "[2,2]", "0", "16") "}", 15, "outside the 15 bytes");
    refused("{" I32("a", "[2]", "4", "12") "}", 12, "a begins at 4, apart from");
    refused("{" I32("a", "[2]", "0", "8") "," I32("b", "[2]", "12", "20") "}", 20,
            "b begins at 12, apart from the tensor before, which ends at 8");
    refused("{" I32("a", "[2]", "0", "8") "," I32("b", "[2]", "4", "12") "}", 12,
            "b begins at 4, within the tensor before, which ends at 8");
    refused("{" I32("a", "[2]", "0", "8") "," I32("b", "[2]", "0", "8") "}", 8, "b begins at 0, within");
    refused("{" I32("a", "[2]", "8", "0") "}", 8, "8 to 0, outside");
    refused("{" I32("a", "[2]", "0", "9007199254740992") "}", 8, "outside the 8 bytes");
    refused("{" I32("a", "[2]", "-8", "0") "}", 8, "data_offsets of a are not two integers");
    refused("{" I32("a", "[2]", "0.5", "8.5") "}", 8, "data_offsets of a are not two integers");
    refused("{" I32("a", "[2]", "0", "1e300") "}", 8, "data_offsets of a are not two integers");
    refused("{" I32("a", "[2]", "0,4", "8") "}", 8, "data_offsets of a are not two integers");
    refused("{" I32("a", "[-2]", "0", "8") "}", 8, "shape of a holds something other");
    refused("{" I32("a", "[\"2\"]", "0", "8") "}", 8, "shape of a holds something other");
    refused("{" I32("a", "2", "0", "8") "}", 8, "shape of a is not an array");
    refused("{" I32("a", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "more than 8 dimensions");
    refused("{" I32("a", "[2]", "0", "8") "," I32("a", "[2]", "8", "16") "}", 16, "\"a\" stands twice");
    refused("{\"a\":{\"dtype\":\"I33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
            "dtype of a is unknown: \"I33\"");
    refused("{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype of a is not a string");
    refused("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
            "no possible number of bytes");
    refused("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
            "\"dtype\" stands twice");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4],\"x\":0}}", 4,
            "unknown key \"x\"");
    refused("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, "a has no dtype");
    refused("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4, "a has no shape");
    refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, "a has no data_offsets");
    refused("{\"a\":[]}", 0, "a is not a JSON object");
    refused("{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ \"a\" is not a string");
    refused("{\"__metadata__\":[]}", 0, "__metadata__ is not a JSON object");
    refused("[]", 0, "is not a JSON object");
    refused("", 0, "not valid JSON");
    refused("\xFF", 0, "not valid JSON");
    refused("{}x", 0, "follows the document");
    char deep[512] = "{\"a\":";
    for (int i = 0; i < 200; i++) strcat(deep, "[");
    refused(deep, 0, "nested deeper than 64");
}

static void refuses_lengths_that_are_not_there(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[9];
        size_t size;
    } cases[] = {{{0}, 0},
                 {{2, 0, 0, 0, 0, 0, 0}, 7},
                 {{'<'}, 1},
                 {{0x3C, 0, 0, 0, 0, 0, 0, 0}, 8},
                 {{2, 0, 0, 0, 0, 0, 0, 0, '{'}, 9},
                 {{255, 255, 255, 255, 255, 255, 255, 255}, 8},
                 {{248, 255, 255, 255, 255, 255, 255, 255, '{'}, 9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct safetensors st;
        gpt2q_error err;
        uint8_t *bytes = guard_alloc(cases[i].size);
        memcpy(bytes, cases[i].bytes, cases[i].size);
        assert_int_equal(safetensors_from_memory(bytes, cases[i].size, "x.safetensors", &st, &err),
                         GPT2Q_FORMAT);
        assert_non_null(strstr(err.message, "x.safetensors: is no"));
        guard_free(bytes, cases[i].size);
    }
}

/* After damage a header may say anything about a file, but it must stay within the file. */
static void use_all(const struct safetensors *st, const struct image *f)
{
    size_t sum = 0;
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct st_tensor *t = &st->tensors[i];
        assert_true(t->data >= f->bytes && t->data + t->size <= f->bytes + f->size);
        sum += t->size + strlen(t->name) + (size_t)st_dtype_bits(t->dtype);
        assert_ptr_equal(safetensors_find(st, t->name), t);
    }
    assert_true(sum < 1 << 20);
}

static void survives_truncation_and_damage(void **state)
{
    (void)state;
    const char *header = "{\"__metadata__\":{\"f\":\"pt\"}," I32(
        "h.0.a", "[2,3]", "0", "24") ",\"b\":{\"dtype\":\"F16\",\"shape\":[5],\"data_offsets\":[24,34]}}";
    struct image whole = image_of(header, strlen(header), 34);
    struct safetensors st;
    for (size_t n = 0; n < whole.size; n++) {
        uint8_t *cut = guard_alloc(n);
        memcpy(cut, whole.bytes, n);
        assert_int_equal(safetensors_from_memory(cut, n, "x", &st, NULL), GPT2Q_FORMAT);
        guard_free(cut, n);
    }
    for (size_t i = 0; i < 8 + strlen(header); i++) {
        uint8_t original = whole.bytes[i];
        for (int c = 0; c < 256; c++) {
            whole.bytes[i] = (uint8_t)c;
            if (safetensors_from_memory(whole.bytes, whole.size, "x", &st, NULL)) continue;
            use_all(&st, &whole);
            safetensors_close(&st);
        }
        whole.bytes[i] = original;
    }
    guard_free(whole.bytes, whole.size);
}

static void gives_back_all_memory_when_there_is_none(void **state)
{
    (void)state;
    const char *header =
        "{\"__metadata__\":{\"f\":\"pt\"}," I32("a", "[2]", "0", "8") "," I32("b", "[2]", "8", "16") "}";
    struct image f = image_of(header, strlen(header), 16);
    struct safetensors st;
    int failures = 0;
    for (;; failures++) {
        mem_fail_after(failures);
        gpt2q_status s = safetensors_from_memory(f.bytes, f.size, "x", &st, NULL);
        mem_fail_after(-1);
        if (!s) break;
        assert_int_equal(s, GPT2Q_OUT_OF_MEMORY);
    }
    assert_true(failures >= 7);
    safetensors_close(&st);
    guard_free(f.bytes, f.size);
}

/* ---- the writer ---- */

static void writes_what_it_reads(void **state)
{
    (void)state;
    static const struct st_metadata metadata[] = {{(char *)"format", (char *)"gpt2q"},
                                                  {(char *)"quote\"\\", (char *)"line\n\x01 \xC3\xA9"}};
    static const struct st_declaration tensors[] = {{"wte.weight", ST_U8, 2, {16, 12}},
                                                    {"a \"name\"", ST_F32, 1, {16}},
                                                    {"nothing", ST_I64, 2, {0, 3}},
                                                    {"scalar", ST_F64, 0, {0}}};
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/x.safetensors", directory);
    for (size_t n = 0; n <= 4; n++) {
        struct file_writer w;
        assert_int_equal(file_writer_open(&w, path, NULL), GPT2Q_OK);
        assert_int_equal(st_write_header(&w, tensors, n, metadata, n ? 2 : 0, NULL), GPT2Q_OK);
        for (size_t i = 0; i < n; i++) {
            for (size_t k = 0; k < st_declaration_size(&tensors[i]); k++) {
                assert_int_equal(file_writer_write(&w, &(uint8_t){(uint8_t)(i + 7 * k)}, 1, NULL), GPT2Q_OK);
            }
        }
        assert_int_equal(file_writer_commit(&w, NULL), GPT2Q_OK);
        struct safetensors st;
        gpt2q_error err;
        if (safetensors_open(path, &st, &err)) fail_msg("%s", err.message);
        assert_int_equal(st.n_tensors, n);
        for (size_t i = 0; i < n; i++) {
            const struct st_tensor *t = safetensors_find(&st, tensors[i].name);
            assert_non_null(t);
            assert_true(t->dtype == tensors[i].dtype && t->n_dims == tensors[i].n_dims &&
                        t->size == st_declaration_size(&tensors[i]));
            if (n < 4) assert_int_equal((t->data - st.map.data) % 64, 0);
            for (size_t k = 0; k < t->size; k++) assert_int_equal(t->data[k], (uint8_t)(i + 7 * k));
        }
        if (n) assert_string_equal(safetensors_metadata(&st, "quote\"\\"), "line\n\x01 \xC3\xA9");
        safetensors_close(&st);
    }
    temp_remove(directory);
}

static void refuses_to_write_what_cannot_be_read(void **state)
{
    (void)state;
    static const struct st_declaration twice[] = {{"a", ST_U8, 1, {64}}, {"a", ST_U8, 1, {64}}},
                                       broken = {"\xFF", ST_U8, 1, {64}};
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/x.safetensors", directory);
    struct file_writer w;
    gpt2q_error err;
    assert_int_equal(file_writer_open(&w, path, NULL), GPT2Q_OK);
    assert_int_equal(st_write_header(&w, twice, 2, NULL, 0, &err), GPT2Q_FORMAT);
    assert_non_null(strstr(err.message, "\"a\" stands twice"));
    assert_int_equal(st_write_header(&w, &broken, 1, NULL, 0, &err), GPT2Q_FORMAT);
    mem_fail_after(0);
    assert_int_equal(st_write_header(&w, twice, 1, NULL, 0, &err), GPT2Q_OUT_OF_MEMORY);
    mem_fail_after(-1);
    file_writer_abort(&w);
    temp_remove(directory);
}

static void names_missing_files(void **state)
{
    (void)state;
    struct safetensors st;
    gpt2q_error err;
    assert_int_equal(safetensors_open("/nowhere/x.safetensors", &st, &err), GPT2Q_IO);
    assert_non_null(strstr(err.message, "/nowhere/x.safetensors"));
    char *directory = temp_directory(), path[4200];
    snprintf(path, sizeof path, "%s/empty.safetensors", directory);
    write_file(path, "", 0);
    assert_int_equal(safetensors_open(path, &st, &err), GPT2Q_FORMAT);
    assert_non_null(strstr(err.message, "empty.safetensors: is no safetensors file: it has 0 bytes"));
    temp_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_tensors_in_the_order_of_their_data),
        cmocka_unit_test(accepts_the_unusual),
        cmocka_unit_test(refuses_malformed_headers),
        cmocka_unit_test(refuses_lengths_that_are_not_there),
        cmocka_unit_test(survives_truncation_and_damage),
        cmocka_unit_test(gives_back_all_memory_when_there_is_none),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(refuses_to_write_what_cannot_be_read),
        cmocka_unit_test(names_missing_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
