/* The methods on a small matrix, step by step, as labelled lines of numbers: for people to follow and for
 * programs to check. Longer arithmetic is that of the methods themselves. */
#ifndef METHODS_LESSON_H
#define METHODS_LESSON_H
#include "quantize/explain.h"

struct lesson_line {
    char label[128];
    double values[EXPLAIN_SIDE_MAX];
    int n;
    bool whole; /* codes and counts are whole numbers */
};
struct lesson {
    struct lesson_line *lines;
    size_t n, capacity;
    bool out_of_memory;
};

#define LESSON_METHODS "gptq, hqq, awq, nf4, fp8, mxfp4, nvfp4 or llm.int8[:T]"
/* The matrix has one token x as input. Refused: an unknown method. *out is for lesson_free, also on
 * failure. */
gpt2q_status lesson_teach(const struct explain_input *input, const char *method, struct lesson *out,
                          gpt2q_error *err);
void lesson_free(struct lesson *l);
#endif
