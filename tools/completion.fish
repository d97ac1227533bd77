# fish completion for gpt2q. The program itself says what a word could become (gpt2q help --complete WORD...), from its own tables of
# options, so that this file knows nothing about them.
function __gpt2q_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l current (commandline -ct)
    for line in ($words[1] help --complete $words[2..-1] 2>/dev/null)
        if test "$line" = :files
            if string match -q -- '--*=*' "$current"
                set -l option (string replace -r '=.*' '=' -- "$current")
                __fish_complete_path (string replace -r '^[^=]*=' '' -- "$current") | string replace -r '^' -- "$option"
            else
                __fish_complete_path "$current"
            end
        else
            echo $line
        end
    end
end
complete -c gpt2q -f -a '(__gpt2q_complete)'
