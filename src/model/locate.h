/* Turns what a user names into a path: a directory or file as it is, a name looked up in the Hugging Face
 * cache on this disk, or the default model. */
#ifndef MODEL_LOCATE_H
#define MODEL_LOCATE_H
#include "base/status.h"

#define DEFAULT_MODEL "tales-7m"

/* NULL or "" names $GPT2Q_MODEL if that is set and not empty, else the default model: models/tales-7m
 * beside the library (where that is shared, else the program), beside its folder or in ../share/gpt2q, else in the installed share
 * folder. A name that is no path is looked up as models/NAME in the first three. Then the cache is searched:
 * $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub. A leading ~ and $VARIABLES in these values are expanded. The folder there is
 * models--<org>--<name>/snapshots/<hash in refs/main, else the newest>. "gpt2" is tried as "gpt2" and as
 * "openai-community/gpt2"; the latter is tried the other way round. "org/name:file" is one file of it. A
 * folder without config.json and vocabulary does not count in the first three, and gives way to the
 * others.
 * *path is for mem_free. The error lists where it looked. */
gpt2q_status model_locate(const char *name, char **path, gpt2q_error *err);
/* The folder of the Hugging Face cache by these variables, for mem_free. "" if not even a home is known;
 * NULL when memory is out. */
char *model_cache_folder(void);
#endif
