/* The mapped files of this process by address, for a program whose handler of SIGBUS says which file became
 * shorter. */
#ifndef BASE_FILE_MAPS_H
#define BASE_FILE_MAPS_H
#include <stdbool.h>
#include <stddef.h>

#define FILE_MAPS_MAX 1024 /* maps beyond are not known by name */

/* `path` must live until the map is forgotten. Both may be called by several threads at once. */
void file_maps_add(const void *data, size_t size, const char *path);
void file_maps_forget(const void *data);
/* The file that is mapped at `address`, or NULL; async-signal-safe. */
const char *file_maps_find(const void *address);
#endif
