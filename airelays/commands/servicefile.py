"""The text of a service file for systemd, launchd and the Windows Task Scheduler. Layer: commands."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["KINDS", "service_text"]

KINDS = ("systemd", "launchd", "windows")

# Works without privileges: in a user's own service manager too.
_TIGHT = """\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
"""
_TIGHTER = """\
AmbientCapabilities=
CapabilityBoundingSet=
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
"""
# Exit 1 is a refusal and 2 a wrong command line: they would be the same again. 75: the folder is in use.
_COMMON = """\
Type=notify
NotifyAccess=all
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=1 2 75
TimeoutStopSec=30
"""
_USER = """\
# Made by `airelays service print`; airelays docs getting-started
[Unit]
Description=AIRelays, a local OpenAI-compatible relay

[Service]
{common}
{tight}
[Install]
WantedBy=default.target
"""
# A user of its own that exists while the service runs; its folder is kept. Data below "private", since
# that is where the folder of such a user really is, and the relay follows no links.
_SYSTEM = """\
# Made by `airelays service print --system`; airelays docs getting-started
[Unit]
Description=AIRelays, a local OpenAI-compatible relay
Wants=network-online.target
After=network-online.target

[Service]
{common}DynamicUser=yes
StateDirectory=airelays
StateDirectoryMode=0700
ConfigurationDirectory=airelays
Environment=HOME=%S/private/airelays
Environment=AIRELAYS_DATA_DIR=%S/private/airelays
Environment=AIRELAYS_CONFIG=%E/airelays/config.toml
Environment=AIRELAYS_AUTO_GENERATE_BEARER_TOKEN=true

{tight}{tighter}
[Install]
WantedBy=multi-user.target
"""
_PLIST = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Made by `airelays service print`. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>io.airelays.relay</string>
  <key>ProgramArguments</key>
  <array>
{arguments}
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>Crashed</key>
    <true/>
  </dict>
  <key>ExitTimeOut</key>
  <integer>30</integer>
  <key>ProcessType</key>
  <string>Background</string>
  <key>Umask</key>
  <integer>63</integer>{log}
</dict>
</plist>
"""
_TASK = """\
<?xml version="1.0"?>
<!-- Made by `airelays service print`. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>AIRelays, a local OpenAI-compatible relay</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Hidden>true</Hidden>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>10</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def service_text(kind: str, words: Sequence[str], *, system: bool, home: str = "") -> str:
    """Return the file of `kind` (one of KINDS) that runs `words` and `serve`.

    `home` is where launchd puts what the relay says on stderr; nowhere when empty.
    """
    if kind == "launchd":
        lines = [f"    <string>{escape(w, quote=False)}</string>" for w in (*words, "serve")]
        log = ""
        if home:
            path = escape(f"{home}/Library/Logs/airelays.log", quote=False)
            log = f"\n  <key>StandardErrorPath</key>\n  <string>{path}</string>"
        return _PLIST.format(arguments="\n".join(lines), log=log)
    if kind == "windows":
        rest = " ".join(map(_windows_word, (*words[1:], "serve")))
        return _TASK.format(
            program=escape(words[0], quote=False), arguments=escape(rest, quote=False)
        )
    command = " ".join(map(_systemd_word, (*words, "serve")))
    return (_SYSTEM if system else _USER).format(
        common=_COMMON.format(command=command), tight=_TIGHT, tighter=_TIGHTER
    )


def _systemd_word(word: str) -> str:
    """Quote for ExecStart= (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers")."""
    word = word.replace("%", "%%").replace("$", "$$")
    if word and not set(word) & set(" \t\"'\\;"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _windows_word(word: str) -> str:
    """Quote as the C runtime of Windows splits; a path has no quotes and does not end in a backslash."""
    return f'"{word}"' if " " in word else word
