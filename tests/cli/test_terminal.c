/* The program on a terminal: what the screen shows, and Ctrl-C while the program waits for standard input. */
#include "tests/cli.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define SCREEN_MAX (1 << 18)

/* ---- a pseudo terminal ---- */

struct session {
    pid_t pid;
    int screen; /* what the program writes on the terminal is read here */
};

/* Runs `$GPT2Q <arguments>` with standard output and errors on a terminal, its input from `input`. */
static struct session session_start(const char *arguments, int input)
{
    char command[1024];
    const int screen = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (screen < 0 || grantpt(screen) || unlockpt(screen)) skip();
    const int terminal = open(ptsname(screen), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    snprintf(command, sizeof command, "exec ${GPT2Q:-./gpt2q} %s", arguments);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        dup2(input, STDIN_FILENO);
        dup2(terminal, STDOUT_FILENO);
        dup2(terminal, STDERR_FILENO);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(terminal);
    return (struct session){pid, screen};
}

/* Reads until the program has ended. Its exit code, as a shell has it. */
static int session_end(const struct session *s, char text[SCREEN_MAX])
{
    size_t n = 0;
    ssize_t got;
    int status;
    while (n < SCREEN_MAX - 1 && (got = read(s->screen, text + n, SCREEN_MAX - 1 - n)) > 0) n += (size_t)got;
    text[n] = '\0';
    close(s->screen);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The lines that one sees: "\r" goes to the beginning of a line, "\033[K" empties it from there on. In place. */
static void show(char *text)
{
    char *line = text, *at = text, *end = text;
    for (const char *p = text; *p; p++) {
        if (*p == '\r') {
            at = line;
        } else if (!strncmp(p, "\033[K", 3)) {
            end = at;
            p += 2;
        } else if (*p == '\n') {
            *end++ = '\n';
            line = at = end;
        } else {
            *at++ = *p;
            if (at > end) end = at;
        }
    }
    *end = '\0';
}

/* ---- quantize ---- */

/* Its progress and its table come on one terminal. */
static void a_table_is_not_mixed_with_progress(void **state)
{
    (void)state;
    static char text[SCREEN_MAX];
    char arguments[512], *directory = temp_directory();
    snprintf(arguments, sizeof arguments, "quantize -m models/tales-7m -q i4 -o %s/m.gpt2q", directory);
    const struct session s = session_start(arguments, STDIN_FILENO);
    assert_int_equal(session_end(&s, text), 0);
    assert_non_null(strstr(text, "tensors: ")); /* there was progress */
    show(text);
    assert_null(strstr(text, "tensors: "));
    assert_non_null(strstr(text, "\nh.0.attn.c_attn.weight   i4:g32:absmax"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    temp_remove(directory);
}

static void an_interrupted_table_leaves_the_line_empty(void **state)
{
    (void)state;
    static char text[SCREEN_MAX];
    char arguments[512], *directory = temp_directory();
    snprintf(arguments, sizeof arguments, "quantize -m models/tales-7m -q i4 -o %s/m.gpt2q", directory);
    const struct session s = session_start(arguments, STDIN_FILENO);
    char first;
    assert_int_equal(read(s.screen, &first, 1), 1); /* the table has begun */
    kill(s.pid, SIGINT);
    const int code = session_end(&s, text);
    if (code != 130 && code != 0) fail_msg("exit code %d", code);
    show(text);
    assert_int_equal(text[strlen(text) - 1], '\n');
    temp_remove(directory);
}

/* ---- batch ---- */

/* Answers and progress on one terminal: every answer has lines of its own. */
static void answers_are_not_mixed_with_progress(void **state)
{
    (void)state;
    enum { LINES = 40 };
    static char text[SCREEN_MAX];
    char path[512], arguments[1024], input[LINES * 24], *at = input, *directory = temp_directory();
    for (int i = 0; i < LINES; i++) at += sprintf(at, "Once upon a time, %d\n", i);
    snprintf(path, sizeof path, "%s/prompts", directory);
    write_file(path, input, strlen(input));
    /* Few rows and one thread: it takes longer than progress does to come. */
    snprintf(arguments, sizeof arguments, "batch %s -j 1 -b 2 -n 100 -q f32", path);
    const struct session s = session_start(arguments, STDIN_FILENO);
    assert_int_equal(session_end(&s, text), 0);
    assert_non_null(strstr(text, "/40 requests, ")); /* there was progress */
    show(text);
    int answers = 0;
    for (const char *line = text; (line = strstr(line, "{\"index\":")); line++) {
        if (line > text && line[-1] != '\n') fail_msg("no line of its own: %.60s", line - 40);
        answers++;
    }
    assert_int_equal(answers, LINES);
    temp_remove(directory);
}

/* ---- waiting for standard input ---- */

/* One Ctrl-C ends a program that waits for its text, and leaves nothing. */
static void one_interruption_ends_waiting(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "quantize -q i4 --method gptq --calibrate - -o %s/out",
        "quantize -q i8 --static --calibrate - -o %s/out",
        "train -q i4 --text - -o %s/out",
        "train -q i4 --from gptq --calibrate - --text models/tales-7m/calibration.txt -o %s/out",
        "eval --text -",
        "compare --text -"};
    static char text[SCREEN_MAX];
    char *directory = temp_directory();
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char arguments[512];
        int input[2];
        assert_int_equal(pipe(input), 0);
        assert_int_equal(fcntl(input[1], F_SETFD, FD_CLOEXEC), 0);
        snprintf(arguments, sizeof arguments, commands[i], directory);
        const struct session s = session_start(arguments, input[0]);
        usleep(300000);
        kill(s.pid, SIGINT);
        usleep(500000);
        close(input[1]); /* who did not hear it ends now, with another code */
        const int code = session_end(&s, text);
        if (code != 130) fail_msg("%s: exit code %d: %s", commands[i], code, text);
        close(input[0]);
        snprintf(arguments, sizeof arguments, "%s/out", directory);
        assert_int_equal(access(arguments, F_OK), -1);
    }
    temp_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_not_mixed_with_progress),
        cmocka_unit_test(an_interrupted_table_leaves_the_line_empty),
        cmocka_unit_test(answers_are_not_mixed_with_progress),
        cmocka_unit_test(one_interruption_ends_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
