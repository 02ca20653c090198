# PowerShell completion for airelays: airelays completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName airelays -ScriptBlock {
    param($word, $tree, $cursor)
    $next = @{
        '' = @('serve', 'init', 'login', 'logout', 'status', 'models', 'usage', 'doctor', 'token', 'config', 'connect', 'quirks', 'logs', 'explain', 'unblock', 'storage', 'docs', 'service', 'migrate', 'egress', 'selfcheck', 'completion', 'manpage', 'version')
        'token' = @('show', 'rotate')
        'config' = @('show', 'check', 'path')
        'logs' = @('prune')
        'storage' = @('check', 'prune')
        'service' = @('install', 'uninstall', 'status', 'print')
        'docs' = @('getting-started', 'configuration', 'security', 'api', 'clients', 'upstreams', 'files', 'conversations', 'logs', 'metrics', 'errors', 'troubleshooting', 'performance', 'hardening', 'demo', 'disclaimer', 'licenses')
        'connect' = @('openai-python', 'openai-node', 'codex', 'aider', 'llm', 'continue', 'cline', 'zed', 'open-webui', 'langchain', 'ai-sdk')
        'completion' = @('bash', 'zsh', 'fish', 'powershell')
    }
    $flags = @{
        'serve' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--demo', '--help', '--host', '--i-know-this-is-open', '--logs-dir', '--network-scope', '--no-auth', '--offline', '--port', '--ready-file')
        'init' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--force', '--help', '--host', '--i-know-this-is-open', '--json', '--logs-dir', '--network-scope', '--no-auth', '--offline', '--port', '--show-token')
        'login' = @('--auth-storage', '--bearer-token-file', '--browser', '--ca-file', '--callback-port', '--config', '--data-dir', '--device', '--help', '--json', '--logs-dir', '--no-browser', '--offline', '--paste', '--workspace-id')
        'logout' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'status' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'models' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'usage' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline', '--raw')
        'doctor' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline', '--self-test', '--skip-response')
        'token show' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'token rotate' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'config show' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline', '--origin')
        'config check' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'config path' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--offline')
        'connect' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--offline', '--undo', '--write')
        'quirks' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'logs' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--follow', '--help', '--json', '--lines', '--logs-dir', '--max-file-mb', '--max-total-mb', '--offline', '--retention-days')
        'logs prune' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--dry-run', '--help', '--json', '--logs-dir', '--offline')
        'explain' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'unblock' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'storage' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'storage check' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'storage prune' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline', '--older-than')
        'docs' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--offline')
        'service install' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--no-start', '--offline', '--program', '--system')
        'service uninstall' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--offline', '--system')
        'service status' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--offline', '--system')
        'service print' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--kind', '--logs-dir', '--offline', '--program', '--system')
        'migrate' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--dry-run', '--from', '--from-config', '--help', '--json', '--logs-dir', '--offline')
        'egress' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'selfcheck' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
        'completion' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--offline')
        'manpage' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--logs-dir', '--offline')
        'version' = @('--auth-storage', '--bearer-token-file', '--ca-file', '--config', '--data-dir', '--help', '--json', '--logs-dir', '--offline')
    }
    $said = @($tree.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if ($word -ne '' -and $said.Count -gt 0) { $said = @($said | Select-Object -SkipLast 1) }
    $path = (@($said | Where-Object { $_ -notlike '-*' })) -join ' '
    $found = if ($word -like '-*') { $flags[$path] } else { $next[$path] }
    $found | Where-Object { $_ -like "$word*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
