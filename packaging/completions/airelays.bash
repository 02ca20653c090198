# bash completion for airelays: source <(airelays completion bash)
_airelays() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} path="" next="" i
    # bash cuts --flag=value into three words
    if [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi
    if [[ $word == = ]]; then word=""; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --auth-storage|--bearer-token-file|--by|--ca-file|--callback-port|--concurrent|--config|--credit|--data-dir|--expires|--from|--from-config|--grace|--host|--kind|--lines|--listen|--log-format|--logs-dir|--max-file-mb|--max-total-mb|--model|--models|--network-scope|--older-than|--port|--program|--ready-file|--request-id|--requests-per-minute|--retention-days|--routes|--session|--signers|--since|--tokens-per-day|--until|--upstream|--upstream-key-env|--upstreams|--url|--verify|--workspace-id|-m|-n) if [[ ${COMP_WORDS[i+1]} == = ]]; then ((i += 2)); else ((i += 1)); fi ;;
            -*) ;;
            *) path+=${path:+ }${COMP_WORDS[i]} ;;
        esac
    done
    case $before in
        --bearer-token-file|--ca-file|--config|--data-dir|--from|--from-config|--logs-dir|--program|--ready-file) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        --log-format) next="text json" ;;
        --auth-storage) next="file keyring auto" ;;
        --network-scope) next="loopback private any" ;;
        --kind) next="systemd launchd windows" ;;
        --by|--callback-port|--concurrent|--credit|--expires|--grace|--host|--lines|--listen|--max-file-mb|--max-total-mb|--model|--models|--older-than|--port|--request-id|--requests-per-minute|--retention-days|--routes|--session|--signers|--since|--tokens-per-day|--until|--upstream|--upstream-key-env|--upstreams|--url|--verify|--workspace-id|-m|-n) ;;
        *)
            case $path in
                "") next="serve open ask init login logout status models usage doctor token config connect run key logs explain unblock reload stop storage docs service migrate completion manpage version" ;;
                "usage") next="reset" ;;
                "token") next="show rotate" ;;
                "config") next="show set edit check path" ;;
                "key") next="create list rotate revoke" ;;
                "logs") next="prune" ;;
                "storage") next="check prune" ;;
                "service") next="install uninstall status print" ;;
                "docs") next="getting-started configuration security keys usage page api clients quirks claude-code ollama upstreams files conversations logs metrics errors troubleshooting performance growing demo architecture threat-model releases disclaimer licenses" ;;
                "connect") next="openai-python openai-node codex claude-code aider llm continue continue-cli opencode goose gptme shell-gpt cline-cli cursor roo jan cline zed open-webui langchain ai-sdk" ;;
                "completion") next="bash zsh fish powershell" ;;
            esac
            if [[ $word == -* ]]; then
                case $path in
                    "service uninstall"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --system --version" ;;
                    "service install"*) next="--allow-weak-token --auth-storage --bearer-token-file --ca-file --config --data-dir --demo --for-ollama --help --host --i-know-this-is-open --listen --logs-dir --network-scope --no-auth --no-pager --no-start --offline --port --program --socket --system --upstream --upstream-key-env --version" ;;
                    "service status"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --system --version" ;;
                    "storage check"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "storage prune"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --older-than --system --version" ;;
                    "service print"*) next="--allow-weak-token --auth-storage --bearer-token-file --ca-file --config --data-dir --demo --for-ollama --help --host --i-know-this-is-open --kind --listen --logs-dir --network-scope --no-auth --no-pager --offline --port --program --socket --system --upstream --upstream-key-env --version" ;;
                    "token rotate"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "config check"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "usage reset"*) next="--auth-storage --bearer-token-file --ca-file --config --credit --data-dir --help --json --logs-dir --no-pager --offline --request-id --system --url --version --yes" ;;
                    "config show"*) next="--all --auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --origin --system --version" ;;
                    "config edit"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "config path"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "token show"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "config set"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "key create"*) next="--auth-storage --bearer-token-file --ca-file --concurrent --config --data-dir --expires --help --json --logs-dir --models --no-pager --no-tools --offline --requests-per-minute --routes --system --tokens-per-day --upstreams --version" ;;
                    "key rotate"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --grace --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "key revoke"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "logs prune"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --dry-run --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "completion"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "key list"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "service"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "connect"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --model --no-pager --offline --undo --url --version --write" ;;
                    "explain"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --failed --help --json --logs-dir --no-pager --offline --session --system --version" ;;
                    "unblock"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "storage"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "migrate"*) next="--auth-storage --bearer-token-file --ca-file --clean --config --data-dir --dry-run --from --from-config --help --json --logs-dir --no-pager --offline --version" ;;
                    "manpage"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "version"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --digests --help --json --logs-dir --no-pager --offline --signers --verify --version" ;;
                    "config"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "logout"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "status"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --url --version" ;;
                    "models"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --url --version" ;;
                    "doctor"*) next="--ask --auth-storage --bearer-token-file --ca-file --config --data-dir --egress --help --json --logs-dir --no-pager --offline --self-test --skip-response --system --url --version" ;;
                    "reload"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "token"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "serve"*) next="--allow-weak-token --auth-storage --bearer-token-file --ca-file --config --data-dir --demo --for-ollama --help --host --i-know-this-is-open --listen --log-format --logs-dir --make-token --network-scope --no-auth --no-pager --offline --port --quiet --ready-file --upstream --upstream-key-env --version" ;;
                    "login"*) next="--auth-storage --bearer-token-file --browser --ca-file --callback-port --config --data-dir --device --help --json --logs-dir --no-browser --no-pager --offline --paste --system --version --workspace-id" ;;
                    "usage"*) next="--auth-storage --bearer-token-file --by --ca-file --config --csv --data-dir --help --json --logs-dir --no-pager --offline --raw --rebuild --since --system --until --url --version" ;;
                    "open"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --print --version" ;;
                    "init"*) next="--allow-weak-token --auth-storage --bearer-token-file --ca-file --config --data-dir --demo --find --force --help --host --i-know-this-is-open --json --logs-dir --network-scope --no-auth --no-pager --offline --port --show-token --upstream --upstream-key-env --version" ;;
                    "logs"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --failed --follow --help --json --lines --logs-dir --max-file-mb --max-total-mb --no-pager --offline --reset --retention-days --session --system --version" ;;
                    "stop"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --json --logs-dir --no-pager --offline --system --version" ;;
                    "docs"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "key"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                    "ask"*) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --demo --help --logs-dir --model --no-pager --offline --upstream --upstream-key-env --url --version" ;;
                    "run"*) next="--auth-storage --bearer-token-file --ca-file --concurrent --config --data-dir --demo --help --logs-dir --models --no-pager --no-tools --offline --requests-per-minute --routes --tokens-per-day --upstream --upstream-key-env --upstreams --version" ;;
                    *) next="--auth-storage --bearer-token-file --ca-file --config --data-dir --help --logs-dir --no-pager --offline --version" ;;
                esac
            fi ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$next" -- "$word")
}
complete -F _airelays airelays
