/* gpt2q tokenize: text to ids and back. */
#include "app/commands.h"
#include "app/common.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "model/gpt2q_read.h"
#include "model/locate.h"
#include <stdio.h>
#include <string.h>

static struct {
    const char *model;
    const char *decode, *file;
    bool special, show, json;
} opt;

static void options(struct option_set *set)
{
    option_add(set, (struct option){'m', "model", OPTION_STRING, &opt.model, "PATH|NAME",
                                    "a model, or a directory with vocab.json and merges.txt (default: "
                                    "$GPT2Q_MODEL, else the model that comes with gpt2q)",
                                    0, 0});
    option_add(set, (struct option){'f', "file", OPTION_STRING, &opt.file, "FILE",
                                    "take the text from a file, or from standard input (-)", 0, 0});
    option_add(set, (struct option){0, "decode", OPTION_STRING, &opt.decode, "IDS",
                                    "write the bytes of these ids (\"464 2068\" or \"[464, 2068]\"; - reads "
                                    "them from standard input)",
                                    0, 0});
    option_add(set, (struct option){0, "special", OPTION_FLAG, &opt.special, NULL,
                                    "<|endoftext|> and other special tokens in the text are tokens", 0, 0});
    option_add(set, (struct option){0, "show", OPTION_FLAG, &opt.show, NULL,
                                    "a line per token: its id, its text and its bytes", 0, 0});
    option_add(set, (struct option){0, "json", OPTION_FLAG, &opt.json, NULL,
                                    "one JSON document on stdout and nothing else", 0, 0});
}

static void print_tokens_json(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddItemToObject(doc, "ids", json_ids(ids, n));
    cJSON *tokens = cJSON_AddArrayToObject(doc, "tokens");
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = tokenizer_bytes(t, ids[i], &len);
        cJSON_AddItemToArray(tokens, json_text(bytes, len));
    }
    json_print(doc);
}

/* Text for a line of a table. Spaces and quotes show where it begins and ends; control characters are
 * escaped. */
static int print_token_text(const char *bytes, size_t len)
{
    int width = 2;
    putchar('"');
    for (size_t i = 0, n; i < len; i += n) {
        struct utf8_step step = utf8_next(bytes + i, len - i);
        n = step.length;
        if (step.kind != UTF8_WHOLE) {
            width += 4 * (int)n;
            for (size_t k = 0; k < n; k++) printf("\\x%02x", (unsigned char)bytes[i + k]);
        } else if (step.code_point < 0x20 || (step.code_point >= 0x7f && step.code_point < 0xa0)) {
            const char *letter = memchr("\n\t\r", (int)step.code_point, 3);
            width += letter ? 2 : (int)n * 4;
            if (letter)
                printf("\\%c", *letter == '\n' ? 'n' : *letter == '\t' ? 't' : 'r');
            else
                for (size_t k = 0; k < n; k++) printf("\\x%02x", (unsigned char)bytes[i + k]);
        } else {
            width++;
            fwrite(bytes + i, 1, n, stdout);
        }
    }
    putchar('"');
    return width;
}

static void show_tokens(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *bytes = tokenizer_bytes(t, ids[i], &len);
        printf("%6d  ", (int)ids[i]);
        int width = print_token_text(bytes, len);
        printf("%*s", width < 22 ? 22 - width : 1, "");
        for (size_t k = 0; k < len; k++) printf(" %02x", (unsigned char)bytes[k]);
        putchar('\n');
    }
}

static int encode(const struct tokenizer *t, const char *text, size_t len)
{
    gpt2q_error err;
    size_t n;
    size_t capacity = tokenizer_max_ids(t, len);
    int32_t *ids = mem_array(capacity, sizeof *ids);
    if (!ids) return failure("out of memory: %zu bytes of text", len);
    int code = EXIT_DONE;
    if (tokenizer_encode(t, text, len, opt.special ? TOKENIZER_SPECIAL : 0, ids, capacity, &n, &err)) {
        code = failed(&err);
    } else if (opt.json) {
        print_tokens_json(t, ids, n);
    } else if (opt.show) {
        show_tokens(t, ids, n);
    } else {
        for (size_t i = 0; i < n; i++) printf("%s%d", i ? " " : "", (int)ids[i]);
        putchar('\n');
    }
    mem_free(ids);
    return code;
}

static int decode_ids(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    size_t len = 0, used = 0, size;
    for (size_t i = 0; i < n; i++) {
        if (!tokenizer_bytes(t, ids[i], &size))
            return failure("id %d is outside the vocabulary of %d tokens", (int)ids[i],
                           (int)tokenizer_size(t));
        len += size;
    }
    char *text = mem_alloc(len);
    if (!text) return failure("out of memory: %zu bytes of text", len);
    for (size_t i = 0; i < n; i++) {
        const char *bytes = tokenizer_bytes(t, ids[i], &size);
        memcpy(text + used, bytes, size);
        used += size;
    }
    if (opt.json) {
        cJSON *doc = cJSON_CreateObject();
        cJSON_AddItemToObject(doc, "ids", json_ids(ids, n));
        cJSON_AddItemToObject(doc, "text", json_text(text, len));
        json_print(doc);
    } else if (opt.show) {
        show_tokens(t, ids, n);
    } else {
        fwrite(text, 1, len, stdout);
    }
    mem_free(text);
    return EXIT_DONE;
}

static int decode(const struct tokenizer *t)
{
    gpt2q_error err;
    char *text = NULL;
    size_t n;
    int32_t *ids = NULL;
    if (!strcmp(opt.decode, "-") && file_read_text("-", MAX_TEXT_BYTES, &text, &n, &err)) return failed(&err);
    int code = parse_ids(text ? text : opt.decode, &ids, &n);
    if (!code) code = decode_ids(t, ids, n);
    mem_free(ids);
    mem_free(text);
    return code;
}

static int with_tokenizer(const struct tokenizer *t, int argc, char **argv)
{
    if (opt.decode) return decode(t);
    if (argc == 1 && strcmp(argv[0], "-")) return encode(t, argv[0], strlen(argv[0]));
    gpt2q_error err;
    char *text;
    size_t n;
    if (file_read_text(opt.file ? opt.file : "-", MAX_TEXT_BYTES, &text, &n, &err)) return failed(&err);
    int code = encode(t, text, n);
    mem_free(text);
    return code;
}

static int run(int argc, char **argv)
{
    gpt2q_error err;
    if (argc > 1)
        return usage_error("one text is expected, not %d arguments: put quotes around it, \"%s %s ...\"",
                           argc, argv[0], argv[1]);
    if ((argc == 1) + !!opt.file + !!opt.decode > 1)
        return usage_error("a text, --file and --decode exclude each other");
    if (opt.show && opt.json)
        return usage_error("--show is for people and --json for programs: one of them is expected");
    if (opt.special && opt.decode)
        return usage_error("--special is about texts: it does not go with --decode");
    char *path;
    struct gpt2q_file file;
    struct tokenizer *t;
    if (model_locate(opt.model, &path, &err)) return failed(&err);
    gpt2q_status s = model_tokenizer_open(path, &file, &t, &err);
    mem_free(path);
    if (s) return failed(&err);
    int code = with_tokenizer(t, argc, argv);
    tokenizer_free(t);
    gpt2q_file_close(&file);
    return code;
}

const struct command command_tokenize = {
    .name = "tokenize",
    .arguments = "[TEXT]",
    .summary = "text to ids and back",
    .description = "The text comes from the argument, a file or standard input, any bytes. --decode writes "
                   "the exact bytes of ids.\n",
    .examples = "  gpt2q tokenize \"Once upon a time\"\n"
                "  gpt2q tokenize --show \"Once upon a time\"\n"
                "  gpt2q tokenize --json < book.txt\n"
                "  gpt2q tokenize --decode \"438 1441 2718\"\n",
    .options = options,
    .run = run,
};
