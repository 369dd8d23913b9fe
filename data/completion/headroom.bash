# bash completion of headroom. The words come from the tables that the program itself reads its command line with.
_headroom() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} options= with_value=' ' commands=' ' word i
    local root=/sys/fs/cgroup/

    while IFS=$'\t' read -r word _; do
        case $word in
        --*=) options+=" ${word%=}" with_value+="${word%=} " ;;
        --*) options+=" $word" ;;
        *) commands+="$word " ;;
        esac
    done < <("${COMP_WORDS[0]}" --completion-words 2>/dev/null)
    COMPREPLY=()
    if [[ $with_value == *" $prev "* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
    fi
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
        return
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == [a-z]* && $with_value != *" ${COMP_WORDS[i - 1]} "* ]] || continue
        case ${COMP_WORDS[i]} in # what has a group for its argument
        pause | resume | offload)
            mapfile -t COMPREPLY < <(compgen -d -S / -- "$root$cur")
            COMPREPLY=("${COMPREPLY[@]#"$root"}")
            compopt -o nospace 2>/dev/null
            ;;
        esac
        return
    done
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
}
complete -F _headroom headroom
