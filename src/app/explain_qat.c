#include "app/explain_qat.h"
#include "app/common.h"
#include "study/qat_lesson.h"
#include <math.h>
#include <stdio.h>

static const int shown_steps[] = {0, 1, 2, 5, 10, 20, 50, 100, 200};
#define SHOWN (sizeof shown_steps / sizeof *shown_steps)

static const char *const what[QAT_LOOPS] = {
    "the notes' loop: w' = (round(w/s) - z) s. The zero point is subtracted and was never added, so every\n"
    "weight is off by z s; and round has the derivative 0, so no weight ever moves",
    "its gradient mended: that of w' is given to w (the straight-through estimator). The weights move, "
    "first\n"
    "of all to make up for z s, and each new scale moves the aim",
    "its grid mended: w' = (clamp(round(w/s) + z, 0, 7) - z) s. The loss is that of rounding, and stays",
    "both: weights move, and from time to time one crosses to the next code"};

/* ---- the curve: columns of steps, rows of the loss's logarithm ---- */

#define PLOT_ROWS 12
#define PLOT_COLS 66
static const char marks[QAT_LOOPS] = {'n', 'g', '-', '*'};

static void plot(const struct qat_curve curves[QAT_LOOPS])
{
    double lo = INFINITY, hi = 0;
    for (int l = 0; l < QAT_LOOPS; l++)
        for (int i = 0; i <= QAT_STEPS; i++)
            if (curves[l].losses[i] > 0)
                lo = fmin(lo, curves[l].losses[i]), hi = fmax(hi, curves[l].losses[i]);
    if (!(hi > lo)) return;
    char canvas[PLOT_ROWS][PLOT_COLS + 1];
    for (int y = 0; y < PLOT_ROWS; y++) snprintf(canvas[y], sizeof canvas[y], "%*s", PLOT_COLS, "");
    for (int l = 0; l < QAT_LOOPS; l++)
        for (int x = 0; x < PLOT_COLS; x++) {
            const double loss = fmax(curves[l].losses[x * QAT_STEPS / (PLOT_COLS - 1)], lo);
            const int y = (int)lround(log(hi / loss) / log(hi / lo) * (PLOT_ROWS - 1));
            canvas[y][x] = marks[l];
        }
    printf("\nloss\n");
    for (int y = 0; y < PLOT_ROWS; y++)
        printf("%8.3g |%s\n", hi * pow(lo / hi, (double)y / (PLOT_ROWS - 1)), canvas[y]);
    printf("%8s +", "");
    for (int x = 0; x < PLOT_COLS; x++) putchar('-');
    printf("\n%8s  0%*d steps\n", "", PLOT_COLS - 7, QAT_STEPS);
    printf("%8s  n notes   g gradient mended   - grid mended   * right\n", "");
}

static void print_table(const struct qat_curve curves[QAT_LOOPS])
{
    printf("\n%-10s", "step");
    for (size_t i = 0; i < SHOWN; i++) printf(" %7d", shown_steps[i]);
    putchar('\n');
    for (int l = 0; l < QAT_LOOPS; l++) {
        printf("%-10s", qat_loop_names[l]);
        for (size_t i = 0; i < SHOWN; i++) printf(" %7.4f", curves[l].losses[shown_steps[i]]);
        printf("\n%-10s", "  |dL/dw|");
        for (size_t i = 0; i < SHOWN; i++) printf(" %7.4f", curves[l].gradients[shown_steps[i]]);
        putchar('\n');
    }
}

static void print_lesson(const struct explain_input *input, double rate,
                         const struct qat_curve curves[QAT_LOOPS])
{
    printf(
        "A linear layer of %d outputs and %d inputs learns to answer like W while its weights are rounded to "
        "3 "
        "bits:\n%d steps over 32 inputs, mean square loss, learning rate %.3g falling to 0, scale s and zero "
        "point z\nchosen from the weights every %d steps. It begins with half of W, its columns in reverse "
        "order.\n",
        input->rows, input->cols, QAT_STEPS, rate, QAT_EVERY);
    for (int l = 0; l < QAT_LOOPS; l++) printf("\n%s: %s.\n", qat_loop_names[l], what[l]);
    print_table(curves);
    plot(curves);
    printf("\nCodes in the end, s = %.4g, z = %.0f (right):\n", curves[QAT_RIGHT].scale,
           curves[QAT_RIGHT].zero);
    for (int r = 0; r < input->rows; r++) {
        for (int k = 0; k < input->cols; k++) printf(" %3d", curves[QAT_RIGHT].codes[r * input->cols + k]);
        putchar('\n');
    }
}

static void print_json(double rate, const struct qat_curve curves[QAT_LOOPS])
{
    cJSON *doc = cJSON_CreateObject();
    cJSON_AddNumberToObject(doc, "rate", rate);
    for (int l = 0; l < QAT_LOOPS; l++) {
        cJSON *o = cJSON_AddObjectToObject(doc, qat_loop_names[l]);
        cJSON *losses = cJSON_AddArrayToObject(o, "losses"),
              *gradients = cJSON_AddArrayToObject(o, "gradient_norms");
        for (int i = 0; i <= QAT_STEPS; i++) {
            cJSON_AddItemToArray(losses, json_real(curves[l].losses[i]));
            cJSON_AddItemToArray(gradients, json_real(curves[l].gradients[i]));
        }
        cJSON_AddItemToObject(o, "scale", json_real(curves[l].scale));
        cJSON_AddItemToObject(o, "zero", json_real(curves[l].zero));
    }
    json_print(doc);
}

int explain_qat(const struct explain_input *input, bool json)
{
    static struct qat_curve curves[QAT_LOOPS];
    const double rate = qat_rate(input);
    for (int l = 0; l < QAT_LOOPS; l++) qat_train(input, (enum qat_loop)l, rate, &curves[l]);
    if (json)
        print_json(rate, curves);
    else
        print_lesson(input, rate, curves);
    return EXIT_DONE;
}
