# bash completion for gpt2q. Commands and options are asked of the program itself (gpt2q help --commands, gpt2q help
# --options COMMAND), so that this file knows only which option takes which kind of value.
_gpt2q()
{
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= i
    # The line editor takes --option=value for three words.
    if [[ $word == "=" ]]; then
        word=
    elif [[ $previous == "=" ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*) ;;
        *) command=${COMP_WORDS[i]}; break ;;
        esac
    done
    COMPREPLY=()
    if [[ -z $command || ($command == help && $previous == help) ]]; then
        COMPREPLY=($(compgen -W "$("$program" help --commands 2>/dev/null) --help --version" -- "$word"))
        return
    fi
    case $previous in
    -q | --quantize | --schemes | --sensitivity)
        COMPREPLY=($(compgen -W "f32 f16 bf16 i8 i8:tensor i8:channel i8:input i8:g32 i4 i4:g32 i4:g64 notes" -- "$word")) ;;
    -a | --activations) COMPREPLY=($(compgen -W "f32 i16 i8" -- "$word")) ;;
    --kv) COMPREPLY=($(compgen -W "f32 f16 i8" -- "$word")) ;;
    --isa) COMPREPLY=($(compgen -W "scalar avx2 avxvnni avx512 avx512vnni amx" -- "$word")) ;;
    --truncate) COMPREPLY=($(compgen -W "error left" -- "$word")) ;;
    --cache) COMPREPLY=($(compgen -W "ragged padded" -- "$word")) ;;
    --format) COMPREPLY=($(compgen -W "auto text jsonl openai" -- "$word")) ;;
    --shape) COMPREPLY=($(compgen -W "gpt2 gpt2-medium gpt2-large gpt2-xl" -- "$word")) ;;
    *)
        if [[ $word == -* ]]; then
            COMPREPLY=($(compgen -W "$("$program" help --options "$command" 2>/dev/null)" -- "$word"))
            [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
        else
            compopt -o default 2>/dev/null # files
        fi ;;
    esac
    return 0
}
complete -F _gpt2q gpt2q
