# bash completion for airelays: source <(airelays completion bash)
_airelays() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} path="" flags="" next="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* ]] || path+=${path:+ }${COMP_WORDS[i]}
    done
    case $before in
        --bearer-token-file|--ca-file|--config|--data-dir|--from|--from-config|--logs-dir|--program|--ready-file) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    esac
    case $path in
        "") next="serve init login logout status models usage doctor token config connect quirks logs explain unblock storage docs service migrate egress selfcheck completion manpage version" ;;
        "token") next="show rotate" ;;
        "config") next="show check path" ;;
        "logs") next="prune" ;;
        "storage") next="check prune" ;;
        "service") next="install uninstall status print" ;;
        "docs") next="getting-started configuration security api clients upstreams files conversations logs metrics errors troubleshooting performance hardening demo disclaimer licenses" ;;
        "connect") next="openai-python openai-node codex aider llm continue cline zed open-webui langchain ai-sdk" ;;
        "completion") next="bash zsh fish powershell" ;;
    esac
    case $path in
        "service uninstall"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --offline --system" ;;
        "service install"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-start --offline --program --system" ;;
        "service status"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --offline --system" ;;
        "storage check"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "storage prune"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline --older-than" ;;
        "service print"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --kind --logs-dir --offline --program --system" ;;
        "token rotate"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "config check"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "config show"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline --origin" ;;
        "config path"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --offline" ;;
        "token show"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "logs prune"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --dry-run --help --json --logs-dir --offline" ;;
        "completion"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --offline" ;;
        "selfcheck"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "connect"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --offline --undo --write" ;;
        "explain"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "unblock"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "storage"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "migrate"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --dry-run --from --from-config --help --json --logs-dir --offline" ;;
        "manpage"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --offline" ;;
        "version"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "logout"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "status"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "models"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "doctor"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline --self-test --skip-response" ;;
        "quirks"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "egress"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline" ;;
        "serve"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --demo --help --host --i-know-this-is-open --logs-dir --network-scope --no-auth --offline --port --ready-file" ;;
        "login"*) flags="--auth-storage --bearer-token-file --browser --ca-file --callback-port --config --data-dir --device --help --json --logs-dir --no-browser --offline --paste --workspace-id" ;;
        "usage"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --offline --raw" ;;
        "init"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --force --help --host --i-know-this-is-open --json --logs-dir --network-scope --no-auth --offline --port --show-token" ;;
        "logs"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --follow --help --json --lines --logs-dir --max-file-mb --max-total-mb --offline --retention-days" ;;
        "docs"*) flags="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --offline" ;;
    esac
    if [[ $word == -* ]]; then next=$flags; fi
    mapfile -t COMPREPLY < <(compgen -W "$next" -- "$word")
}
complete -F _airelays airelays
