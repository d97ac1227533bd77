/* `gpt2q explain --qat`: the lesson of src/study/qat_lesson.h as a table and curves. */
#ifndef APP_EXPLAIN_QAT_H
#define APP_EXPLAIN_QAT_H
#include "quantize/explain.h"
#include <stdbool.h>

int explain_qat(const struct explain_input *input, bool json); /* an exit code */
#endif
