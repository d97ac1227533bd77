#include "app/provenance.h"
#include "base/memory.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static char *kept;

static size_t quoted(const char *word, char *out) /* out: NULL to count only */
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./_-";
    size_t n = 0;
    bool bare = *word && !word[strspn(word, plain)];
    for (const char *p = bare ? "" : "'"; *p; p++, n++)
        if (out) out[n] = *p;
    for (; *word; word++) {
        const char *as = *word == '\'' ? "'\\''" : (char[]){*word, 0};
        for (; *as; as++, n++)
            if (out) out[n] = *as;
    }
    for (const char *p = bare ? " " : "' "; *p; p++, n++)
        if (out) out[n] = *p;
    return n;
}

void keep_command_line(int argc, char **argv)
{
    size_t n = 0;
    static char name[] = "gpt2q";
    for (int i = 0; i < argc; i++) n += quoted(i ? argv[i] : name, NULL);
    kept = mem_alloc(n + 1);
    if (!kept) return;
    n = 0;
    for (int i = 0; i < argc; i++) n += quoted(i ? argv[i] : name, kept + n);
    kept[n ? n - 1 : 0] = '\0';
}

const char *command_line(void) { return kept ? kept : ""; }

void read_cpu_name(char *name, size_t size)
{
    char line[256];
    snprintf(name, size, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    fclose(f);
}

void print_date(char *text, size_t size)
{
    time_t now = time(NULL);
    struct tm utc;
    if (now == (time_t)-1 || !gmtime_r(&now, &utc) || !strftime(text, size, "%Y-%m-%d %H:%M UTC", &utc))
        snprintf(text, size, "at an unknown time");
}
