#include "base/file_maps.h"
#include <stdatomic.h>
#include <stdint.h>

/* A place is taken by its address, then filled; `path` is set last and cleared first, so that a handler sees
 * whole entries only. */
static struct {
    _Atomic(uintptr_t) begin; /* 0: free */
    _Atomic(size_t) size;
    _Atomic(const char *) path;
} maps[FILE_MAPS_MAX];

void file_maps_add(const void *data, size_t size, const char *path)
{
    for (int i = 0; data && i < FILE_MAPS_MAX; i++) {
        uintptr_t none = 0;
        if (!atomic_compare_exchange_strong(&maps[i].begin, &none, (uintptr_t)data)) continue;
        atomic_store(&maps[i].size, size);
        atomic_store(&maps[i].path, path);
        return;
    }
}

void file_maps_forget(const void *data)
{
    for (int i = 0; data && i < FILE_MAPS_MAX; i++) {
        if (atomic_load(&maps[i].begin) != (uintptr_t)data) continue;
        atomic_store(&maps[i].path, NULL);
        atomic_store(&maps[i].begin, 0);
        return;
    }
}

const char *file_maps_find(const void *address)
{
    const uintptr_t at = (uintptr_t)address;
    for (int i = 0; i < FILE_MAPS_MAX; i++) {
        const char *path = atomic_load(&maps[i].path);
        const uintptr_t begin = atomic_load(&maps[i].begin);
        /* the last page of a file is mapped whole */
        if (path && at >= begin && at - begin < (atomic_load(&maps[i].size) | 0xFFF)) return path;
    }
    return NULL;
}
