// Shell completion for bash, of our own. Pure.

/**
 * The script of `@bomb.sh/tab` makes read-only variables, so that to source it twice fails; it needs a package (bash-completion)
 * that may not be there; and it evaluates what is typed. This one hands the words on as they are, also with the bash 3.2 of macOS.
 * Behind `--` stands another program's command line, where files are completed.
 */
export const bashCompletion = `# bash completion for gate
_gate_complete() {
    local current=\${COMP_WORDS[COMP_CWORD]} word name
    COMPREPLY=()
    for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        if [[ $word == -- ]]; then
            compopt -o default 2>/dev/null
            return
        fi
    done
    while IFS=$'\\t' read -r name _; do
        [[ $name == :* || $name != "$current"* ]] || COMPREPLY+=("$name")
    done < <(gate complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _gate_complete gate`
