/* The help of a command, made from its table of options and wrapped at the width of the terminal. */
#include "app/options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NARROWEST = 40, USUAL = 80, WIDEST = 120 };

int terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    int width = columns ? atoi(columns) : 0;
    if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col) width = size.ws_col;
    if (width <= 0) width = USUAL;
    return width < NARROWEST ? NARROWEST : width > WIDEST ? WIDEST : width;
}

/* Writes n bytes of words. All lines but the first begin with `indent` spaces. `ending` closes a line that
 * goes on. */
static void print_wrapped(const char *text, size_t n, int column, int indent, const char *ending)
{
    const char *end = text + n;
    int width = terminal_width() - 1 - (int)strlen(ending);
    bool first = true;
    while (text < end) {
        int length = (int)strcspn(text, " \n");
        if (text + length > end) length = (int)(end - text);
        if (!first && column + 1 + length > width) {
            printf("%s\n%*s", ending, indent, "");
            column = indent;
        } else if (!first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        text += length;
        text += text < end;
        first = false;
    }
    putchar('\n');
}

void print_paragraph(const char *text) { print_wrapped(text, strlen(text), 0, 0, ""); }

/* Lines that begin with a space stay as they are. Other lines run on into a paragraph. */
static void print_description(const char *text)
{
    while (*text) {
        const char *end = text;
        do {
            end += strcspn(end, "\n");
            end += *end == '\n';
        } while (*text != ' ' && *text != '\n' && *end && *end != ' ' && *end != '\n');
        size_t n = (size_t)(end - text);
        if (*text == ' ' || *text == '\n')
            printf("%.*s", (int)n, text);
        else
            print_wrapped(text, n - (end[-1] == '\n'), 0, 0, "");
        text = end;
    }
}

static bool starts_comment(const char *p) { return p[0] == ' ' && p[1] == ' ' && p[2] != ' '; }

/* "  command   what it does". If both do not fit into one line, the explanation gets a line of its own. */
static void print_example(const char *line, size_t n)
{
    const char *end = line + n, *comment = line + 2;
    while (comment < end && !starts_comment(comment)) comment++;
    if ((int)n < terminal_width()) {
        printf("%.*s\n", (int)n, line);
        return;
    }
    const char *command = line + strspn(line, " "), *command_end = comment < end ? comment : end;
    while (command_end > command && command_end[-1] == ' ') command_end--;
    if (comment < end) {
        comment += strspn(comment, " #");
        printf("  # ");
        print_wrapped(comment, (size_t)(end - comment), 4, 4, "");
    }
    printf("  ");
    print_wrapped(command, (size_t)(command_end - command), 2, 6, " \\");
}

void print_examples(const char *text)
{
    for (; *text; text += text[strcspn(text, "\n")] ? strcspn(text, "\n") + 1 : strcspn(text, "\n"))
        print_example(text, strcspn(text, "\n"));
}

static void print_option(const struct option *o)
{
    enum { MARGIN = 30 };
    char left[120], letter[8] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, o->name, o->metavar ? "=" : "",
             o->metavar ? o->metavar : "");
    int margin = terminal_width() < 60 ? 12 : MARGIN;
    printf("%-*s", margin, left);
    if ((int)strlen(left) > margin - 1) printf("\n%*s", margin, "");
    print_wrapped(o->help, strlen(o->help), margin, margin, "");
}

void command_help(const struct command *c)
{
    struct option_set set = {.n = 0};
    c->options(&set);
    printf("Usage: gpt2q %s [OPTION]...%s%s\n", c->name, *c->arguments ? " " : "", c->arguments);
    print_paragraph(c->summary);
    if (c->description) {
        putchar('\n');
        print_description(c->description);
    }
    printf("\nOptions:\n");
    for (size_t i = 0; i < set.n; i++) print_option(&set.options[i]);
    print_option(&(struct option){'h', "help", OPTION_FLAG, NULL, NULL, "show this help", 0, 0});
    if (c->examples) {
        printf("\nExamples:\n");
        print_examples(c->examples);
    }
}

void command_list_options(const struct command *c)
{
    struct option_set set = {.n = 0};
    c->options(&set);
    for (size_t i = 0; i < set.n; i++)
        printf("--%s%s\n", set.options[i].name, set.options[i].metavar ? "=" : "");
    printf("--help\n");
}
