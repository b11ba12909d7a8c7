#!/usr/bin/env python3
"""In systemd's place where there is none: does what a unit says, as whoever calls it and below $ROOT.

It is called as systemctl, systemd-run or journalctl. Of a unit it knows what this project's units use; what is
about the sandbox it leaves out. $ROOT/machine has variables that every process gets: what this machine is like.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time

ROOT = os.environ["ROOT"]
UNITS = f"{ROOT}/etc/systemd/system"
RUN = f"{ROOT}/run"
PATIENCE = 30


def below(text):
    """The text with its absolute paths below $ROOT."""
    return re.sub(r"(?<![\w.])/(etc|usr|var)/", rf"{ROOT}/\1/", text)


def variables(path):
    """A file of NAME=VALUE lines; without one, nothing."""
    try:
        with open(path) as file:
            lines = [line.strip() for line in file]
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def surroundings(settings):
    """What a process of these settings begins in: its environment, directory and umask."""
    environment = {name: os.environ[name] for name in ("LLVM_PROFILE_FILE",) if name in os.environ}
    environment["PATH"] = f"{ROOT}/usr/local/bin:{os.environ['PATH']}"
    environment.update(variables(f"{ROOT}/machine"))
    mode = int(settings.get("StateDirectoryMode", ["0755"])[-1], 8)
    for kind, place in (("State", "var/lib"), ("Cache", "var/cache")):
        for name in " ".join(settings.get(f"{kind}Directory", [])).split():
            os.makedirs(f"{ROOT}/{place}/{name}", exist_ok=True)
            os.chmod(f"{ROOT}/{place}/{name}", mode if kind == "State" else 0o755)
    environment.update(text.split("=", 1) for text in settings.get("Environment", []))
    for path in settings.get("EnvironmentFile", []):
        environment.update(variables(path.removeprefix("-")))
    directory = settings.get("WorkingDirectory", ["/"])[-1].removeprefix("-")
    umask = int(settings.get("UMask", ["0022"])[-1], 8)
    return {"env": environment, "cwd": directory if os.path.isdir(directory) else "/", "umask": umask}


class Unit:
    def __init__(self, name):
        self.name = name if "." in name else f"{name}.service"
        self.settings = {}
        with open(f"{UNITS}/{self.name}") as file:
            for line in file:
                found = re.fullmatch(r"(\w+)=(.*)", line.strip())
                if found:
                    text = found[2].replace("%S", "/var/lib").replace("%C", "/var/cache").replace("%E", "/etc")
                    self.settings.setdefault(found[1], []).append(below(text))
        self.base = f"{RUN}/{self.name}"

    def run(self, key, pid=None):
        """The commands of a setting, one after the other, and the status of the first that fails."""
        for command in self.settings.get(key, []):
            line = command.removeprefix("-").replace("$MAINPID", str(pid)).split()
            with open(f"{self.base}.log", "a") as log:
                status = subprocess.run(line, stdout=log, stderr=log, **surroundings(self.settings)).returncode
            if status and not command.startswith("-"):
                return status
        return 0

    def start(self):
        if self.name.endswith(".timer"):
            return Unit(self.settings.get("Unit", [self.name.replace(".timer", ".service")])[-1]) and 0
        if self.settings["Type"] == ["oneshot"]:
            return self.run("ExecStart")
        self.run("ExecStartPre")
        around = surroundings(self.settings)
        address = f"{self.base}.notify"
        if os.path.exists(address):
            os.unlink(address)
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.bind(address)
        notices.settimeout(0.2)
        around["env"]["NOTIFY_SOCKET"] = address
        with open(f"{self.base}.log", "a") as log:
            line = self.settings["ExecStart"][0].split()
            child = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **around
            )
        with open(f"{self.base}.pid", "w") as file:
            file.write(str(child.pid))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if notices.recv(4096).startswith(b"READY=1"):
                    return 0
            except TimeoutError:
                if child.poll() is not None:
                    os.unlink(f"{self.base}.pid")
                    return child.returncode
        return 1

    def pid(self):
        try:
            with open(f"{self.base}.pid") as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def stop(self):
        pid = self.pid()
        if pid is None:
            return 0
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and is_alive(pid):
            time.sleep(0.02)
        os.unlink(f"{self.base}.pid")
        return 1 if is_alive(pid) else 0

    def reload(self):
        return self.run("ExecReload", self.pid())

    def restart(self):
        return self.stop() or self.start()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def systemctl(verb, *names):
    if verb == "daemon-reload":
        return 0
    if verb == "enable":
        names = [name for name in names if name != "--now"]
        verb = "start"
    status = 0
    for name in names:
        unit = Unit(name)
        status = getattr(unit, verb)()
        if status:
            print(f"{unit.name} failed with status {status}", file=sys.stderr)
            break
    return status


def systemd_run(*words):
    settings, words = {}, list(words)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in ("-p", "-E"):
            name, value = words.pop(0).split("=", 1) if word == "-p" else ("Environment", words.pop(0))
            settings.setdefault(name, []).append(value)
        elif word.startswith("--working-directory="):
            settings["WorkingDirectory"] = [word.split("=", 1)[1]]
    around = surroundings(settings)
    os.environ["PATH"] = around["env"]["PATH"]
    return subprocess.run(words, **around).returncode


def journalctl(option, name):
    with open(f"{Unit(name).base}.log") as file:
        sys.stdout.write(file.read())
    return 0


called = {"systemctl": systemctl, "systemd-run": systemd_run, "journalctl": journalctl}
sys.exit(called[os.path.basename(sys.argv[0])](*sys.argv[1:]))
