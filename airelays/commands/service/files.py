"""The text of a service file for systemd, launchd and the Windows Task Scheduler. Layer: commands."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from airelays.commands.service.words import ServiceWords
from airelays.errors import ConfigError
from airelays.host.account import CONFIG, DATA_DIR, NAME
from airelays.settings.hosts import parse_address

KINDS = ("systemd", "launchd", "windows")

# What the sandbox of the system unit hides, and what it leaves to the service's own user.
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")
_OWN = (DATA_DIR,)
_NOTHING = ServiceWords()

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
ExecReload={reload}
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=1 2 75
TimeoutStopSec=30
"""
_USER = """\
# Created by `airelays service print`. See: airelays docs getting-started
[Unit]
Description=AIRelays, a local OpenAI-compatible relay

[Service]
{common}
{tight}
[Install]
WantedBy=default.target
"""
# A system user, so that root can sign in for it: the user of DynamicUser= exists only while the service runs.
_SYSTEM = f"""\
# Created by `airelays service print --system`. See: airelays docs getting-started
[Unit]
Description=AIRelays, a local OpenAI-compatible relay
Wants=network-online.target
After=network-online.target

[Service]
{{common}}User={NAME}
StateDirectory=airelays
StateDirectoryMode=0700
ConfigurationDirectory=airelays
Environment=HOME={DATA_DIR}
Environment=AIRELAYS_DATA_DIR={DATA_DIR}
Environment=AIRELAYS_CONFIG={CONFIG}

{{tight}}{{tighter}}
[Install]
WantedBy=multi-user.target
"""
_SOCKET = """\
# Created by `airelays service print --socket`. See: airelays docs getting-started
[Unit]
Description=Sockets of AIRelays, open while the relay restarts

[Socket]
{streams}Backlog=512

[Install]
WantedBy=sockets.target
"""
_PLIST = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Created by `airelays service print`. -->
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
<!-- Created by `airelays service print`. -->
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


def service_text(
    kind: str,
    words: Sequence[str],
    *,
    system: bool,
    home: str = "",
    given: ServiceWords = _NOTHING,
) -> str:
    """Return the file of `kind` (one of KINDS) that runs `words`, `serve` and the flags that were `given`.

    `home` is where launchd puts what the relay says on stderr; nowhere when empty.
    """
    command = (*words, "serve", "--make-token", *given.flags)
    if kind == "launchd":
        lines = [f"    <string>{escape(w, quote=False)}</string>" for w in command]
        log = ""
        if home:
            path = escape(f"{home}/Library/Logs/airelays.log", quote=False)
            log = f"\n  <key>StandardErrorPath</key>\n  <string>{path}</string>"
        return _PLIST.format(arguments="\n".join(lines), log=log)
    if kind == "windows":
        from subprocess import list2cmdline

        # As the C runtime of Windows splits: also a path that ends in a backslash.
        return _TASK.format(
            program=escape(words[0], quote=False),
            arguments=escape(list2cmdline(command[1:]), quote=False),
        )
    common = _COMMON.format(
        command=" ".join(map(_systemd_word, command)),
        reload=" ".join(map(_systemd_word, (*words, "reload", *given.place))),
    )
    tighter = _reaching(given) if system else ""
    return (_SYSTEM if system else _USER).format(common=common, tight=_TIGHT, tighter=tighter)


def socket_text(addresses: Sequence[tuple[str, int]], *, system: bool) -> str:
    """Return the unit by which systemd opens `addresses` (host, port) and passes them to the relay."""
    from airelays.net.listener import addresses_of

    streams = ""
    for host, port in addresses:
        if not port:
            raise ConfigError("systemd cannot pick a free port; choose one with --port")
        for address in addresses_of(host):
            if parse_address(address) is None:
                raise ConfigError(
                    f"systemd can listen only on addresses, but the host is {address}; give its address with "
                    "--host"
                )
            streams += f"ListenStream={f'[{address}]' if ':' in address else address}:{port}\n"
    text = _SOCKET.format(streams=streams)
    return text.replace("--socket`", "--socket --system`") if system else text


def _reaching(given: ServiceWords) -> str:
    """Return the system unit's sandbox with openings for the paths that were given; the rest stays closed.

    Homes and temporary folders are not there at all (ProtectHome=, PrivateTmp=): what is needed is bound in. The "-"
    leaves it to the relay to say in a sentence that something does not exist.
    """
    paths = (*given.writes, *given.reads)
    homes = any(_is_below(path, _HOMES) for path in paths)
    text = _TIGHTER.replace("ProtectHome=yes", "ProtectHome=tmpfs") if homes else _TIGHTER
    for path in given.writes:
        hidden = _is_below(path, (*_HOMES, *_TEMPORARY))
        if not _is_below(path, _OWN):
            text += f"{'BindPaths' if hidden else 'ReadWritePaths'}={_path_word(path)}\n"
    for path in given.reads:
        if _is_below(path, (*_HOMES, *_TEMPORARY)):
            text += f"BindReadOnlyPaths={_path_word(path)}\n"
    return text


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _path_word(path: str) -> str:
    """Quote for the settings of systemd.exec(5) that take paths: specifiers count there, variables do not."""
    word = "-" + path.replace("%", "%%")
    return f'"{word}"' if set(word) & set(" :;") else word


def _systemd_word(word: str) -> str:
    """Quote for ExecStart= (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers")."""
    word = word.replace("%", "%%").replace("$", "$$")
    if word and not set(word) & set(" \t\"'\\;"):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
