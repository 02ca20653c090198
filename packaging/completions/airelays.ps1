# PowerShell completion for airelays: airelays completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName airelays -ScriptBlock {
    param($word, $tree, $cursor)
    $next = @{
        '' = @('serve', 'open', 'ask', 'init', 'login', 'logout', 'status', 'models', 'usage', 'doctor', 'token', 'config', 'connect', 'run', 'key', 'logs', 'explain', 'unblock', 'reload', 'stop', 'storage', 'docs', 'service', 'migrate', 'completion', 'manpage', 'version')
        'usage' = @('reset')
        'token' = @('show', 'rotate')
        'config' = @('show', 'set', 'edit', 'check', 'path')
        'key' = @('create', 'list', 'rotate', 'revoke')
        'logs' = @('prune')
        'storage' = @('check', 'prune')
        'service' = @('install', 'uninstall', 'status', 'print')
        'docs' = @('getting-started', 'configuration', 'security', 'keys', 'usage', 'page', 'api', 'clients', 'quirks', 'claude-code', 'ollama', 'upstreams', 'files', 'conversations', 'logs', 'metrics', 'errors', 'troubleshooting', 'performance', 'growing', 'demo', 'architecture', 'threat-model', 'releases', 'disclaimer', 'licenses')
        'connect' = @('openai-python', 'openai-node', 'codex', 'claude-code', 'aider', 'llm', 'continue', 'continue-cli', 'opencode', 'goose', 'gptme', 'shell-gpt', 'cline-cli', 'cursor', 'roo', 'jan', 'cline', 'zed', 'open-webui', 'langchain', 'ai-sdk')
        'completion' = @('bash', 'zsh', 'fish', 'powershell')
    }
    $flags = @{
        '' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'token' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'config' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'key' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'service' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'serve' = @('--allow-weak-token', '--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--demo', '--for-ollama', '--help', '--host', '--i-know-this-is-open', '--listen', '--log-format', '--logs-dir', '--make-token', '--network-scope', '--no-auth', '--no-pager', '--offline', '--port', '--quiet', '--ready-file', '--upstream', '--upstream-key-env', '--version')
        'open' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--print', '--version')
        'ask' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--demo', '--help', '--logs-dir', '--model', '--no-pager', '--offline', '--upstream', '--upstream-key-env', '--url', '--version')
        'init' = @('--allow-weak-token', '--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--demo', '--find', '--force', '--help', '--host', '--i-know-this-is-open', '--json', '--logs-dir', '--network-scope', '--no-auth', '--no-pager', '--offline', '--port', '--show-token', '--upstream', '--upstream-key-env', '--version')
        'login' = @('--auth-storage', '--bearer-token-file', '--browser', '--ca-file', '--callback-port', '--config', '--data-dir', '--device', '--help', '--json', '--logs-dir', '--no-browser', '--no-pager', '--offline', '--paste', '--system', '--version', '--workspace-id')
        'logout' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'status' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--url', '--version')
        'models' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--url', '--version')
        'usage' = @('--auth-storage', '--bearer-token-file', '--by', '--ca-file', '--config', '--csv', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--raw', '--rebuild', '--since', '--system', '--until', '--url', '--version')
        'usage reset' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--credit', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--request-id', '--system', '--url', '--version', '--yes')
        'doctor' = @('--ask', '--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--egress', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--self-test', '--skip-response', '--system', '--url', '--version')
        'token show' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'token rotate' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'config show' = @('--all', '--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--origin', '--system', '--version')
        'config set' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'config edit' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'config check' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'config path' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'connect' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--model', '--no-pager', '--offline', '--undo', '--url', '--version', '--write')
        'run' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--concurrent', '--config', '--data-dir', '--demo', '--help', '--logs-dir', '--models', '--no-pager', '--no-tools', '--offline', '--requests-per-minute', '--routes', '--tokens-per-day', '--upstream', '--upstream-key-env', '--upstreams', '--version')
        'key create' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--concurrent', '--config', '--data-dir', '--expires', '--help', '--json', '--logs-dir', '--models', '--no-pager', '--no-tools', '--offline', '--requests-per-minute', '--routes', '--system', '--tokens-per-day', '--upstreams', '--version')
        'key list' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'key rotate' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--grace', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'key revoke' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'logs' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--failed', '--follow', '--help', '--json', '--lines', '--logs-dir', '--max-file-mb', '--max-total-mb', '--no-pager', '--offline', '--reset', '--retention-days', '--session', '--system', '--version')
        'logs prune' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--dry-run', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'explain' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--failed', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--session', '--system', '--version')
        'unblock' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'reload' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'stop' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'storage' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'storage check' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'storage prune' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--older-than', '--system', '--version')
        'docs' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'service install' = @('--allow-weak-token', '--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--demo', '--for-ollama', '--help', '--host', '--i-know-this-is-open', '--listen', '--logs-dir', '--network-scope', '--no-auth', '--no-pager', '--no-start', '--offline', '--port', '--program', '--socket', '--system', '--upstream', '--upstream-key-env', '--version')
        'service uninstall' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'service status' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--system', '--version')
        'service print' = @('--allow-weak-token', '--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--demo', '--for-ollama', '--help', '--host', '--i-know-this-is-open', '--kind', '--listen', '--logs-dir', '--network-scope', '--no-auth', '--no-pager', '--offline', '--port', '--program', '--socket', '--system', '--upstream', '--upstream-key-env', '--version')
        'migrate' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--clean', '--config', '--data-dir', '--dry-run', '--from', '--from-config', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--version')
        'completion' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'manpage' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-pager', '--offline', '--version')
        'version' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--digests', '--help', '--json', '--logs-dir', '--no-pager', '--offline', '--signers', '--verify', '--version')
    }
    $choices = @{
        '--log-format' = @('text', 'json')
        '--auth-storage' = @('file', 'keyring', 'auto')
        '--network-scope' = @('loopback', 'private', 'any')
        '--kind' = @('systemd', 'launchd', 'windows')
    }
    $valued = @('--auth-storage', '--bearer-token-file', '--by', '--ca-file', '--callback-port', '--concurrent', '--config', '--credit', '--data-dir', '--expires', '--from', '--from-config', '--grace', '--host', '--kind', '--lines', '--listen', '--log-format', '--logs-dir', '--max-file-mb', '--max-total-mb', '--model', '--models', '--network-scope', '--older-than', '--port', '--program', '--ready-file', '--request-id', '--requests-per-minute', '--retention-days', '--routes', '--session', '--signers', '--since', '--tokens-per-day', '--until', '--upstream', '--upstream-key-env', '--upstreams', '--url', '--verify', '--workspace-id', '-m', '-n')
    $said = @($tree.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($word -ne '' -and $said.Count -gt 0) { $said = @($said | Select-Object -SkipLast 1) }
    $words = @()
    $isValue = $false
    foreach ($one in $said) {
        if ($isValue) { $isValue = $false; continue }
        if ($valued -ccontains $one) { $isValue = $true } elseif ($one -notlike '-*') { $words += $one }
    }
    $path = $words -join ' '
    $found = if ($isValue) { $choices[$said[-1]] }
        elseif ($word -like '-*') { $flags[$path] }
        else { $next[$path] }
    $found | Where-Object { $_ -like "$word*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
