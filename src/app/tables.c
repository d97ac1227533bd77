#include "app/tables.h"
#include "base/terminal_text.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *safe_name(const char *name, char text[SAFE_NAME])
{
    terminal_text(text, SAFE_NAME, name, strlen(name));
    return text;
}

const char *print_count(uint64_t n, char text[COUNT_TEXT])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *out = text;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

const char *print_with_error(double value, double error, const char *between, char text[ERROR_TEXT])
{
    if (!(error > 0) || !isfinite(error) || !isfinite(value)) {
        snprintf(text, ERROR_TEXT, "%.4g", value);
        return text;
    }
    int place = (int)floor(log10(error)) - 1; /* place of the last digit shown */
    double larger = fmax(fabs(value), error);
    int power = larger < 1e-3 ? (int)floor(log10(larger)) : 0;
    double unit = pow(10, power);
    int decimals = power - place;
    if (decimals < 0) decimals = 0;
    if (decimals > 12) decimals = 12;
    if (power)
        snprintf(text, ERROR_TEXT, "(%.*f%s%.*f)e%+03d", decimals, value / unit, between, decimals,
                 error / unit, power);
    else
        snprintf(text, ERROR_TEXT, "%.*f%s%.*f", decimals, value, between, decimals, error);
    return text;
}
