/* One row per format. All facts about a format follow from its row: SPECs, completion, sizes, the file's element, the
 * activations that it takes, the tables of kernels, the tests' lists.
 *
 *     X(ENUM, name, kind, bits, inputs, bytes, dtype, granularity, group, spec)
 *
 *     kind     FLOATS: an element is a float. CODES: integer codes. LEVELS: codes that stand for the levels of a book
 *              (levels.h). Both of these have kernels for integer activations, too. FLOAT8: codes that are floats of a byte.
 *              OWN: integer codes of a grid, with float activations alone, in a layout that NAME.isa.c states
 *     bits     of a code or a float
 *     inputs, bytes    a step holds this many consecutive inputs of an output, in this many bytes. A panel's step is
 *              PANEL * bytes
 *     dtype    of the file's element, as safetensors spells it
 *     granularity, group    of a SPEC that names none
 *     spec     the name in a SPEC
 *
 * A new format of the kind OWN is a row here and NAME.isa.c, which own_layout.isa.h describes. One of another kind is a row, NAME.isa.c
 * with matmul_NAME (and NAME.dot.isa.c with matmul_q_NAME where it takes integer activations) and, in dequantize.c,
 * dequantize_row_NAME or, for codes, code_NAME. */
#ifndef QTENSOR_FORMATS_H
#define QTENSOR_FORMATS_H

#define QFORMATS(X)                                                                                          \
    X(QF_F32, f32, FLOATS, 32, 1, 4, "F32", QG_CHANNEL, 0, "f32")                                            \
    X(QF_F16, f16, FLOATS, 16, 1, 2, "F16", QG_CHANNEL, 0, "f16")                                            \
    X(QF_BF16, bf16, FLOATS, 16, 1, 2, "BF16", QG_CHANNEL, 0, "bf16")                                        \
    X(QF_I8, i8, CODES, 8, 4, 4, "U8", QG_CHANNEL, 0, "i8")                                                  \
    X(QF_I4, i4, CODES, 4, 8, 4, "U8", QG_GROUP, 32, "i4")                                                   \
    X(QF_I3, i3, CODES, 3, 32, 12, "U8", QG_GROUP, 32, "i3")                                                 \
    X(QF_I2, i2, CODES, 2, 16, 4, "U8", QG_GROUP, 32, "i2")                                                  \
    X(QF_NF4, nf4, LEVELS, 4, 8, 4, "U8", QG_GROUP, 64, "nf4")                                               \
    X(QF_E4M3, fp8_e4m3, FLOAT8, 8, 1, 1, "U8", QG_CHANNEL, 0, "fp8:e4m3")                                   \
    X(QF_E5M2, fp8_e5m2, FLOAT8, 8, 1, 1, "U8", QG_CHANNEL, 0, "fp8:e5m2")                                   \
    X(QF_MXFP4, mxfp4, LEVELS, 4, 8, 4, "U8", QG_GROUP, 32, "mxfp4")                                         \
    X(QF_NVFP4, nvfp4, LEVELS, 4, 8, 4, "U8", QG_GROUP, 16, "nvfp4")

/* For lists of one kind only: OF_CODES(kind)(text) is the text for codes of any kind, and nothing for FLOATS. */
#define FORMAT_PASTE_(a, b) a##b
#define FORMAT_PASTE(a, b)  FORMAT_PASTE_(a, b)
#define FORMAT_KEEP(...)    __VA_ARGS__
#define FORMAT_DROP(...)
#define OF_CODES_FLOATS FORMAT_DROP
#define OF_CODES_CODES  FORMAT_KEEP
#define OF_CODES_LEVELS FORMAT_KEEP
#define OF_CODES_FLOAT8 FORMAT_KEEP
#define OF_CODES_OWN    FORMAT_KEEP
#define OF_CODES(kind)  FORMAT_PASTE(OF_CODES_, kind)
/* Likewise for OWN alone. */
#define OF_OWN_FLOATS FORMAT_DROP
#define OF_OWN_CODES  FORMAT_DROP
#define OF_OWN_LEVELS FORMAT_DROP
#define OF_OWN_FLOAT8 FORMAT_DROP
#define OF_OWN_OWN    FORMAT_KEEP
#define OF_OWN(kind)  FORMAT_PASTE(OF_OWN_, kind)
#endif
