/* What the files of `inspect` share. */
#ifndef APP_INSPECT_H
#define APP_INSPECT_H
#include "app/common.h"
#include "quantize/inventory.h"

#define SHAPE_TEXT (24 * ST_MAX_DIMS)
void inspect_print_shape(const struct inventory_tensor *t, char text[SHAPE_TEXT]);
cJSON *inspect_tensor_json(const struct inventory_tensor *t);

void inspect_print_json(const struct inventory *v, const char *path);
void inspect_print_table(const struct inventory *v, const char *path);

/* Shows one tensor in detail. scheme NULL: as it is stored. Returns an exit code. */
int inspect_one(const struct inventory *v, const char *path, const char *name, const struct scheme *scheme,
                const struct quantize_run *run, bool json);
#endif
