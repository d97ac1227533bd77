#include "methods/session.h"
gpt2q_status session_awq(struct session *s, gpt2q_error *err)
{
    (void)s;
    return error_set(err, GPT2Q_UNSUPPORTED, "awq");
}
gpt2q_status session_smoothquant(struct session *s, gpt2q_error *err)
{
    (void)s;
    return error_set(err, GPT2Q_UNSUPPORTED, "smoothquant");
}
gpt2q_status session_static(struct session *s, gpt2q_error *err)
{
    (void)s;
    return error_set(err, GPT2Q_UNSUPPORTED, "static");
}
