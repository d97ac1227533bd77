#include "tests/golden_tensors.h"
#include "tests/support.h"
#include "kernels/half.h"

const struct st_tensor *golden_tensor(const struct safetensors *st, const char *name)
{
    const struct st_tensor *t = safetensors_find(st, name);
    if (!t) fail_msg("%s is missing", name);
    return t;
}

double golden_number(const struct st_tensor *t, size_t i)
{
    float f;
    double d;
    int64_t n;
    uint16_t half;
    switch (t->dtype) {
    case ST_U8: return t->data[i];
    case ST_I8: return (double)(int8_t)t->data[i];
    case ST_I64: memcpy(&n, t->data + 8 * i, 8); return (double)n;
    case ST_F16: memcpy(&half, t->data + 2 * i, 2); return (double)float_from_f16(half);
    case ST_F32: memcpy(&f, t->data + 4 * i, 4); return (double)f;
    case ST_F64: memcpy(&d, t->data + 8 * i, 8); return d;
    default: fail_msg("%s: has a dtype that goldens do not have", t->name); return 0;
    }
}
