#compdef gpt2q
# zsh completion for gpt2q. The program itself says what a word could become (gpt2q help --complete WORD...), from its own tables of
# options, so that this file knows nothing about them.
_gpt2q()
{
    local line files=0
    local -a plain open plain_shown open_shown
    for line in ${(f)"$(${words[1]} help --complete ${(Q)words[2,CURRENT]} 2>/dev/null)"}; do
        local text=${line%%$'\t'*} help=
        [[ $line == *$'\t'* ]] && help=${line#*$'\t'}
        if [[ $text == :files ]]; then
            files=1
        elif [[ $text == *= ]]; then
            open+=("$text") open_shown+=("$text${help:+  -- $help}")
        else
            plain+=("$text") plain_shown+=("$text${help:+  -- $help}")
        fi
    done
    (( ${#open} )) && compadd -l -S '' -d open_shown -a open
    (( ${#plain} )) && compadd -l -d plain_shown -a plain
    if (( files )); then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        _files
    fi
}
_gpt2q "$@"
