/* From what a user names to a path: a directory or file as it is, a name looked up in the Hugging Face cache on disk, or the
 * default model. */
#ifndef MODEL_LOCATE_H
#define MODEL_LOCATE_H
#include "base/status.h"

#define DEFAULT_MODEL "tales-7m"

/* NULL or "": $GPT2Q_MODEL if set and not empty, else the default model: models/tales-7m beside the running program (or beside
 * its folder), else in the installed share folder. A name that is no path: models/NAME beside the program, then
 * $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub, folder models--<org>--<name>/snapshots/<hash
 * in refs/main, else the newest>; "gpt2" is tried as "gpt2" and "openai-community/gpt2", this one
 * the other way; "org/name:file" is one file of it. A leading ~ and $VARIABLES in these values are expanded. A folder without config.json and vocabulary does not
 * count beside the program, and gives way to the others here. *path is for mem_free. The error
 * lists where it looked. */
gpt2q_status model_locate(const char *name, char **path, gpt2q_error *err);
/* The Hugging Face cache's folder, by these variables; for mem_free. "" where not even a home is known; NULL when memory is out. */
char *model_cache_folder(void);
#endif
