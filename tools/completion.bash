# bash completion for gpt2q. The program itself says what a word could become (gpt2q help --complete WORD...), from its own tables of
# options, so that this file knows nothing about them.
_gpt2q()
{
    local program=${COMP_WORDS[0]} line=${COMP_LINE:0:COMP_POINT} words answer word breaks shown
    # Words as the program gets them: the line editor also breaks at "=", ":" and "@".
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]} - 1]}
    # What the line editor takes for earlier words must not be given again.
    breaks=${COMP_WORDBREAKS//[^=:@]/}
    shown=
    [[ -n $breaks && $word == *["$breaks"]* ]] && shown=${word%"${word##*["$breaks"]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r answer _; do
        if [[ $answer == :files ]]; then
            compopt -o default 2>/dev/null
        else
            COMPREPLY+=("${answer#"$shown"}")
        fi
    done < <("$program" help --complete "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _gpt2q gpt2q
