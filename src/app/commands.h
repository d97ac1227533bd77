/* The commands, one file each. */
#ifndef APP_COMMANDS_H
#define APP_COMMANDS_H
#include "app/options.h"

extern const struct command command_batch, command_bench, command_train, command_compare, command_eval,
    command_explain, command_generate, command_inspect, command_pull, command_quantize, command_serve,
    command_tokenize, command_trace;
#endif
