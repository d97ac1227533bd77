#include "base/file.h"
#include "base/checked.h"
#include "base/file_maps.h"
#include "base/memory.h"
#include "base/text.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* `regular`: nothing but a regular file will do; else a FIFO or device is opened, too. */
static gpt2q_status open_file(const char *path, bool regular, int *fd, struct stat *st, gpt2q_error *err)
{
    if (!*path) return error_set(err, GPT2Q_IO, "an empty path is no file that can be read");
    /* What it is comes before it is opened: opening a FIFO would wait for a writer. */
    if (regular && stat(path, st) == 0 && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return error_set(err, GPT2Q_IO, "%s: is not a regular file", path);
    *fd = open(path, O_RDONLY | O_CLOEXEC | (regular ? O_NONBLOCK : 0));
    if (*fd < 0) return error_set(err, GPT2Q_IO, "%s: cannot be opened: %s", path, strerror(errno));
    const char *wrong = NULL;
    if (fstat(*fd, st))
        wrong = strerror(errno);
    else if (S_ISDIR(st->st_mode))
        wrong = "is a directory where a file is expected";
    else if (regular && !S_ISREG(st->st_mode))
        wrong = "is not a regular file";
    if (!wrong) return GPT2Q_OK;
    close(*fd);
    return error_set(err, GPT2Q_IO, "%s: %s", path, wrong);
}

gpt2q_status file_map_open(const char *path, struct file_map *out, gpt2q_error *err)
{
    *out = (struct file_map){0};
    int fd = -1;
    struct stat st;
    gpt2q_status s = open_file(path, true, &fd, &st, err);
    if (s) return s;
    size_t size = (size_t)st.st_size;
    void *data = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    int reason = errno;
    close(fd);
    if (data == MAP_FAILED)
        return error_set(err, GPT2Q_IO, "%s: cannot be mapped: %s", path, strerror(reason));
#ifdef MADV_HUGEPAGE /* also for what is yet to be read from the disk */
    if (data) madvise(data, size, MADV_HUGEPAGE);
#endif
    char *copy = mem_strdup(path);
    if (!copy) {
        if (data) munmap(data, size);
        return error_memory(err, "a path", strlen(path));
    }
    file_maps_add(data, size, copy);
    *out = (struct file_map){.data = data, .size = size, .path = copy};
    return GPT2Q_OK;
}

void file_map_close(struct file_map *map)
{
    file_maps_forget(map->data);
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    mem_free(map->path);
    *map = (struct file_map){0};
}

void file_map_prefetch(const void *begin, size_t n)
{
    size_t before = (uintptr_t)begin % (size_t)sysconf(_SC_PAGESIZE);
    if (n) madvise((void *)((uintptr_t)begin - before), n + before, MADV_WILLNEED);
}

void file_map_drop(const void *begin, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = round_up((uintptr_t)begin, page), end = ((uintptr_t)begin + n) / page * page;
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
}

static gpt2q_status read_stream(int fd, const char *path, size_t limit, char **data, size_t *n,
                                gpt2q_error *err)
{
    size_t capacity = 1 << 16, used = 0;
    char *buffer = mem_alloc(capacity);
    if (!buffer) return error_memory(err, path, capacity);
    for (;;) {
        if (used + 1 >= capacity) {
            char *larger = mem_grow(buffer, used, capacity * 2);
            if (!larger) {
                mem_free(buffer);
                return error_memory(err, path, capacity * 2);
            }
            buffer = larger;
            capacity *= 2;
        }
        ssize_t got = read(fd, buffer + used, capacity - used - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) break;
        if (got < 0 || (used += (size_t)got) > limit) {
            int reason = errno;
            mem_free(buffer);
            if (got < 0) return error_set(err, GPT2Q_IO, "%s: cannot be read: %s", path, strerror(reason));
            return error_set(err, GPT2Q_IO, "%s: is larger than the %zu bytes allowed here", path, limit);
        }
    }
    buffer[used] = '\0';
    *data = buffer;
    *n = used;
    return GPT2Q_OK;
}

static gpt2q_status read_path(const char *path, bool regular, size_t limit, char **data, size_t *n,
                              gpt2q_error *err)
{
    int fd = -1;
    struct stat st;
    *data = NULL;
    *n = 0;
    gpt2q_status s = open_file(path, regular, &fd, &st, err);
    if (s) return s;
    s = read_stream(fd, path, limit, data, n, err);
    close(fd);
    return s;
}

const char *file_spoken_name(const char *path) { return strcmp(path, "-") ? path : "standard input"; }

gpt2q_status file_read(const char *path, size_t limit, char **data, size_t *n, gpt2q_error *err)
{
    *data = NULL;
    *n = 0;
    if (!strcmp(path, "-")) return read_stream(STDIN_FILENO, file_spoken_name(path), limit, data, n, err);
    return read_path(path, false, limit, data, n, err);
}

gpt2q_status file_read_text(const char *path, size_t limit, char **data, size_t *n, gpt2q_error *err)
{
    gpt2q_status s = file_read(path, limit, data, n, err);
    if (s) return s;
    if (text_is_utf16(*data, *n)) {
        mem_free(*data);
        *data = NULL;
        return error_set(err, GPT2Q_FORMAT, "%s: is text in UTF-16 where UTF-8 is expected",
                         file_spoken_name(path));
    }
    if (text_has_mark(*data, *n)) {
        *n -= 3;
        memmove(*data, *data + 3, *n + 1);
    }
    return GPT2Q_OK;
}

gpt2q_status file_read_regular(const char *path, size_t limit, char **data, size_t *n, gpt2q_error *err)
{
    return read_path(path, true, limit, data, n, err);
}

/* Of a stat that failed. */
static bool is_absent(void) { return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG; }

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 || !is_absent();
}

bool file_name_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 || !is_absent();
}

gpt2q_status file_look_for(const char *path, bool *present, gpt2q_error *err)
{
    *present = file_name_exists(path);
    if (!*present || file_exists(path)) return GPT2Q_OK;
    return error_set(err, GPT2Q_IO, "%s: is a link to a file that is not there; was a download broken off?",
                     path);
}

bool file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *path_join(const char *directory, const char *name)
{
    size_t n = strlen(directory), m = strlen(name);
    char *path = mem_alloc(n + m + 2);
    if (!path) return NULL;
    memcpy(path, directory, n);
    if (n && directory[n - 1] != '/') path[n++] = '/';
    memcpy(path + n, name, m + 1);
    return path;
}
