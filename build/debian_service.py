"""What `build/debian.py` tries with `airelays service` and `--system`, inside the container."""

from __future__ import annotations

from typing import NamedTuple

HERE = "/relay-test"


class Step(NamedTuple):
    """A shell command, its exit code, and what must match its output (with a `!` before it: must not)."""

    command: str
    code: int = 0
    seen: str = ""


def ask(port: int) -> str:
    """Return the command that prints what the relay on `port` answers, or why it does not."""
    url = f"http://127.0.0.1:{port}/healthz"
    return f"python3 -I -c \"import urllib.request as r; print(r.urlopen('{url}').status)\" 2>&1 | tail -n 1"


# Connects to the relay again and again until the file `stop` is there, beside a long answer that streams; prints how
# many connections got an answer, how many did not, and how the stream ended.
FLOOD = """\
import http.client, json, os, sys, threading, time
token, good, bad, ends = sys.argv[1], [], [], []

def knock():
    while not os.path.exists("/run/stop"):
        try:
            one = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
            one.request("GET", "/healthz")
            # A relay that begins to stop says so on /healthz: an answer all the same.
            (good if one.getresponse().status in (200, 503) else bad).append(1)
            one.close()
        except OSError as error:
            bad.append(str(error))
        time.sleep(0.005)

def stream():
    one = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    one.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": "Bearer " + token})
    answer = one.getresponse()
    answer.readline()
    open("/run/streams", "w").close()
    ends.append(answer.read().decode().strip().endswith("[DONE]"))

threads = [threading.Thread(target=knock) for _ in range(4)] + [threading.Thread(target=stream)]
for one in threads: one.start()
for one in threads: one.join()
print(f"{len(good)} answered, {len(bad)} not, whole stream: {ends}", *bad[:3])
"""
INSTALL = "airelays service install --system"
STATE = "/var/lib/airelays"
PID = "systemctl show --property=MainPID --value airelays"
CONFIG = """\
[upstream]
kind = "chatgpt"
base_url = "http://127.0.0.1:9099/backend-api/codex"
issuer_base_url = "http://127.0.0.1:9099"
demo_pace_ms = 150
"""
FAKE = f"systemd-run --quiet --unit=fake --setenv=PYTHONPATH={HERE} python3 -m tests.fakes.backend --port 9099"
CHAT = (
    'python3 -I -c "import sys, urllib.request as r; print(r.urlopen(r.Request('
    "'http://127.0.0.1:8080/v1/models', headers={'authorization': 'Bearer ' + sys.argv[1]})).status)\" "
    "$(airelays token show --system)"
)
# The unit of releases before this one: a user that exists only while the service runs.
OLD_UNIT = (
    "airelays service print --system --demo | sed -e 's/^User=airelays/DynamicUser=yes/' "
    "-e 's,=/var/lib/airelays,=/var/lib/private/airelays,' > /etc/systemd/system/airelays.service"
)
SERVICE_STEPS = (
    Step(f"install -m 755 {HERE}/airelays.py /usr/local/bin/airelays && airelays --version"),
    Step("test ! -e /bin/kill && test ! -e /usr/bin/kill && echo no procps here", 0, "no procps"),
    # Refused before anything is written.
    Step(
        "airelays login --system",
        1,
        "no machine-wide relay on this machine .* sudo airelays service install --system",
    ),
    Step(
        f"runuser -u nobody -- {INSTALL}", 1, "--system requires root; run: sudo airelays service"
    ),
    Step("install -m 755 /usr/local/bin/airelays /root/airelays"),
    Step(
        "python3 /root/airelays service install --system",
        1,
        "cannot read /root/airelays.*hides /root",
    ),
    Step(f"{INSTALL} --program /tmp/x", 2, "not a program that can be run"),
    Step('install -D -m 755 /usr/local/bin/airelays "/opt/it\'s/airelays"'),
    Step(f'{INSTALL} --program "/opt/it\'s/airelays"', 2, "systemd does not allow in the path"),
    Step(f"{INSTALL} --port x", 2, "--port is .x."),
    Step("systemd-run --quiet --unit=other python3 -m http.server 8090 && sleep 1"),
    Step(f"{INSTALL} --port 8090", 1, "port 8090 .* in use by another program"),
    Step("mkdir /etc/airelays && echo 'nonsense = 1' > /etc/airelays/config.toml"),
    Step(INSTALL, 1, "/etc/airelays/config.toml: nonsense is unknown"),
    Step(
        "ls /etc/systemd/system/airelays.service /var/lib/airelays; getent passwd airelays",
        2,
        "No such file",
    ),
    # Installed, signed in.
    Step(FAKE),
    Step(f"cat > /etc/airelays/config.toml <<'END'\n{CONFIG}END"),
    Step(INSTALL, 0, "The relay is running on http://127.0.0.1:8080/v1"),
    Step(f"getent passwd airelays; stat -c '%U %a %F' {STATE}", 0, "airelays 700 directory"),
    Step("airelays status --system", 0, "Running: +yes; pid"),
    Step("airelays status --system", 0, "airelays login --device --system"),
    Step(
        "runuser -u nobody -- airelays login --system",
        1,
        "requires root; run: sudo airelays login --system",
    ),
    Step(f"chown -R root: {STATE} && airelays login --system --device", 1, "belongs to user 0"),
    Step("airelays login --system --device 2>&1", 1, "!ABCD-12345"),
    Step(
        f"chown -R airelays: {STATE} && airelays login --system --device",
        0,
        "(?s)ABCD-12345.*Authenticated: +yes",
    ),
    Step(f"stat -c '%U %a %n' {STATE}/*", 0, "airelays 600 /var/lib/airelays/auth.json"),
    Step(f"find {STATE} ! -user airelays", 0, "!."),
    Step(CHAT, 0, "200"),
    Step("airelays key create editor --system && airelays key list --system", 0, "editor"),
    Step("airelays usage --system", 0, "(?i)usage"),
    Step("airelays doctor --system", 0, "Failed: +0"),
    Step(f"one=$({PID}) && systemctl reload airelays && two=$({PID}) && test $one = $two"),
    Step("airelays logout --system", 0, "Upstream auth: +deleted"),
    Step(f"ls {STATE}", 0, "!auth.json$"),
    # Again, with another flag; then so that it fails.
    Step(
        f"one=$({PID}) && {INSTALL} --port 8081 && two=$({PID}) && test $one != $two",
        0,
        "is running on http://127.0.0.1:8081",
    ),
    Step(ask(8080), 0, "refused"),
    Step(ask(8081), 0, "200"),
    Step(
        f"one=$({PID}) && {INSTALL} --port 8090; test $one = $({PID})",
        0,
        "in use by another program",
    ),
    Step(ask(8081), 0, "200"),
    Step(
        f"chown root: {STATE}/relay-token && {INSTALL}",
        1,
        "(?s)relay-token cannot be read.*did not start; .* was kept; once",
    ),
    Step(
        "test -s /etc/systemd/system/airelays.service && systemctl is-failed airelays", 0, "failed"
    ),
    Step(f"chown airelays: {STATE}/relay-token && {INSTALL}", 0, "The relay is running on"),
    Step("airelays service status --system", 0, "Running: +yes"),
    # No client is refused while the relay restarts, and a stream that runs ends whole.
    Step(
        f"{INSTALL} --socket --demo",
        0,
        "(?s)airelays.socket.*The relay is running on http://127.0.0.1:8080/v1",
    ),
    Step(
        f"python3 {HERE}/flood.py $(airelays token show --system) > /run/flood & "
        "while ! test -e /run/streams; do sleep 0.1; done; systemctl restart airelays && sleep 1 && touch /run/stop; "
        "wait; cat /run/flood",
        0,
        r" answered, 0 not, whole stream: \[True\]",
    ),
    Step(
        f"{INSTALL} --demo --port 8082 && ! test -e /etc/systemd/system/airelays.socket",
        0,
        "127.0.0.1:8082",
    ),
    Step("systemctl is-active airelays.socket", 3, "inactive"),
    Step(f"{INSTALL} --demo --socket --port 80", 0, "is running on http://127.0.0.1:80/v1"),
    Step(
        "systemctl stop airelays.socket airelays && sed -i s/:80$/:81/ /etc/systemd/system/airelays.socket && "
        "systemctl daemon-reload && systemctl start airelays.socket && ! systemctl start airelays; "
        "journalctl -o cat -n 30 -u airelays",
        0,
        "systemd listens on 127.0.0.1:81 for the relay, but the relay is configured to listen on 127.0.0.1:80",
    ),
    Step(
        "airelays service uninstall --system",
        0,
        "(?s)Removed.*Kept: the user airelays",
    ),
    Step(
        f"systemctl list-units --all --plain --no-legend 'airelays*'; ls -d {STATE}",
        0,
        "^/var/lib/airelays$",
    ),
    # From the unit of an earlier release.
    Step(
        f"userdel airelays && rm -rf {STATE} /etc/airelays && {OLD_UNIT} && systemctl daemon-reload"
    ),
    Step(
        "systemctl start airelays && readlink /var/lib/airelays && cat /var/lib/airelays/relay-token > /run/was",
        0,
        "private/airelays",
    ),
    Step(f"{INSTALL} --demo", 0, "The relay is running on"),
    Step(
        f"stat -c '%U %F' {STATE} && airelays token show --system | cmp - /run/was",
        0,
        "airelays directory",
    ),
    Step("airelays service uninstall --system"),
    # For one user.
    Step("useradd --create-home person && loginctl enable-linger person && sleep 2"),
    Step(
        "runuser -l person -c 'XDG_RUNTIME_DIR=/run/user/$(id -u) airelays service install --demo --port 8070'",
        0,
        "is running on http://127.0.0.1:8070",
    ),
    Step(
        "runuser -l person -c 'XDG_RUNTIME_DIR=/run/user/$(id -u) airelays service install --demo --port 8071'",
        0,
        "is running on http://127.0.0.1:8071",
    ),
    Step(ask(8070), 0, "refused"),
    Step(ask(8071), 0, "200"),
    Step(
        "runuser -l person -c 'XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user reload airelays'"
    ),
    Step(
        "runuser -l person -c 'XDG_RUNTIME_DIR=/run/user/$(id -u) airelays service uninstall'",
        0,
        "Removed",
    ),
    Step(ask(8071), 0, "refused"),
)
