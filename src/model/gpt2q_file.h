/* The .gpt2q file: one quantized model with its tokenizer, in a valid safetensors file. Reader and writer
 * share this header. ARCHITECTURE.md ("The .gpt2q file") describes the format.
 *
 * A matrix NAME is up to three tensors in the engine's panel layout (qtensor/qtensor.h), so that it is
 * mapped and not copied:
 *     NAME.codes   f32 f16 bf16  [panels][cols][64]
 *                  i8   U8 [panels][cols/4][64][4]      i4  U8 [panels][cols/8][64][4]
 *                  i3   U8 [panels][3 cols/32][64][4]   i2  U8 [panels][cols/16][64][4]
 *                  nf4 mxfp4 nvfp4   as i4              fp8 U8 [panels][cols][64]
 *     NAME.scale   tensor F32 [1]    channel F32 [panels][64]    input F32 [cols]
 *                  group F16 [panels][cols/group][64]; mxfp4 nvfp4 U8
 *     NAME.zero    like the scale; zero point or minimum; absmax and signed have none. Zero points of groups:
 *                  U8 [panels][cols/group][8 bits] (qtensor/zero_points.h); older files F16, like the scale
 *     NAME.factor  nvfp4: F32 [1], of all scales
 * Any other weight is a tensor NAME, F32. Under `notes` it is NAME.codes, U8 in the checkpoint's shape,
 * with NAME.scale and NAME.zero, F32 [1]. The tokenizer's files lie in tensors U8 [bytes]. A vocabulary of
 * GPT2Q_TABLES_MIN ids or more also has its tables, "tokenizer.table.NAME" (tokenizer/tokenizer.h).
 * Tensors "padding.N" fill up to a multiple of 64, where the next tensor begins. The last tensor,
 * "checksum", U32 [1], is the CRC-32 of all bytes of the file before it.
 *
 * Metadata: "format" is "gpt2q"; version, config (the text of a config.json), scheme (the one asked for),
 * source (the model's name), and for every weight "scheme.NAME". */
#ifndef MODEL_GPT2Q_FILE_H
#define MODEL_GPT2Q_FILE_H
#include "model/safetensors.h"
#include "model/weights_names.h"

#define GPT2Q_FILE_FORMAT "gpt2q"
/* The newest version that is read. A file says 2 if a reader of version 1 would pass over something in it. */
#define GPT2Q_FILE_VERSION 2

#define GPT2Q_KEY_VERSION     "gpt2q.version"
#define GPT2Q_KEY_CONFIG      "gpt2q.config"
#define GPT2Q_KEY_SCHEME      "gpt2q.scheme"
#define GPT2Q_KEY_SOURCE      "gpt2q.source"
#define GPT2Q_KEY_METHOD      "gpt2q.method"      /* how codes were chosen; absent: rounded to nearest */
#define GPT2Q_KEY_CALIBRATION "gpt2q.calibration" /* on which texts; absent: on none */
#define GPT2Q_KEY_OF_WEIGHT   "scheme."           /* + its name */

/* Tensors that only methods write. A file with one of them is of version 2. */
#define GPT2Q_STATIC                                                                                         \
    "activations.scale" /* F32 [4 n_layer + 1]: of the inputs of linear layers, the head's last */
#define GPT2Q_FACTORS "h.%d.mlp.c_proj.factors" /* F32 [n_inner]: they multiply its inputs */

#define GPT2Q_VOCAB     "tokenizer.vocab.json"
#define GPT2Q_MERGES    "tokenizer.merges.txt"
#define GPT2Q_TOKENIZER "tokenizer.tokenizer.json"
#define GPT2Q_EXTRAS    "tokenizer.extras.json"
#define GPT2Q_TABLE     "tokenizer.table." /* + its name */
#define GPT2Q_PADDING   "padding."         /* + a number */
#define GPT2Q_CHECKSUM  "checksum"

#define GPT2Q_ALIGN 64

/* The texts of a smaller vocabulary are read in a few milliseconds, and its tables would be some per cent
 * of its small model. */
#define GPT2Q_TABLES_MIN 16384

/* The tensors that hold a weight, with the names they have in the file. */
enum { PART_CODES, PART_SCALE, PART_ZERO, PARTS_MAX, PART_FACTOR = PART_ZERO }; /* no scheme has both */
struct stored_weight {
    struct weight_id id;
    struct scheme scheme;
    int n_parts; /* 1: codes alone */
    struct st_declaration parts[PARTS_MAX];
    char names[PARTS_MAX][WEIGHT_NAME_MAX + 8];
};
/* Whether a reader of version 1 does not know how the scheme is held. */
bool stored_weight_is_newer(struct scheme s);
/* Where zero points lie in bits: their tensor in files of gpt2q before it stored them so, floats of 16 bits. */
struct st_declaration stored_zero_of_old(const struct stored_weight *w);
/* Returns false if the scheme does not fit the weight's shape. The declarations point to the names, so a
 * stored_weight must not move. */
bool stored_weight_describe(const gpt2q_config *config, struct weight_id id, struct scheme scheme,
                            struct stored_weight *out);
#endif
