"""What starting and stopping a server takes of the machine, whichever server it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
STATE = ROOT / ".brokers"
SERVERS = ROOT / "scripts" / "servers"
PATIENCE = 180.0


class Absent(Exception):
    """A server cannot be had on this machine, for the reason given; the others can."""


def install(program: str, package: str) -> None:
    """Have *program*: install Debian's *package* as root, else say what is missing."""
    if shutil.which(program):
        return
    if os.getuid() == 0 and shutil.which("apt-get"):
        run(["apt-get", "update", "-qq"])
        run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", package])
        return
    fail(
        f"{program} is missing; install it (Debian and Ubuntu: apt-get install {package}),"
        " or run the server by: docker compose up --detach --wait"
    )


def run(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    """Run *command*, and return what it says; if it fails, show that and end."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        fail(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def serve(
    command: list[str],
    name: str,
    answers: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Start *command*, and wait until it *answers*.

    Whether it has ended is asked of its parent, and not of `running`: a process that has only just
    begun may be listed without its command.
    """
    server = start(command, name, environment)

    def ready() -> bool:
        if server.poll() is not None:
            fail(f"{name} ended at once; see {STATE / f'{name}.log'}")
        return answers()

    wait_for(ready, f"{name} to answer", name)


def start(
    command: list[str], name: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start *command* in the background, with a log and a pid file in the state folder."""
    with (STATE / f"{name}.log").open("w") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
        )
    (STATE / f"{name}.pid").write_text(str(server.pid))
    return server


def running(name: str, command: str) -> int | None:
    """Return the process of the pid file if it is still our server, which runs *command* for us.

    No other under its number, and none that has ended and is not buried yet.
    """
    pid_file = STATE / f"{name}.pid"
    if not pid_file.exists():
        return None
    pid = pid_file.read_text()
    ask = ["ps", "-o", "stat=,command=", "-p", pid]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return int(pid) if re.match(rf"[^Z]\S*\s.*{command}", done.stdout.strip()) else None


def wait_for(condition: Callable[[], bool], what: str, name: str) -> None:
    """Wait until *condition* holds for the server *name*."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            fail(f"waited {PATIENCE:.0f} s for {what}; see {STATE / f'{name}.log'}")
        time.sleep(0.1)


def issue_certificates(folder: Path) -> None:
    """Make an authority in *folder*, and have it sign for a server and for a client, for a year."""
    install("openssl", "openssl")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    authority = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key")]
    for name, extension, signed_by in (
        ("ca", "keyUsage=critical,keyCertSign", []),
        ("server", "subjectAltName=IP:127.0.0.1", authority),
        ("client", "extendedKeyUsage=clientAuth", authority),
    ):
        key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
        made = ["openssl", "req", "-x509", "-noenc", "-newkey", "rsa:2048", "-days", "365"]
        made += ["-subj", f"/CN=callboard-{name}", "-addext", extension, *signed_by]
        run([*made, "-keyout", str(key), "-out", str(certificate)])
        chain = [key, certificate, folder / "ca.crt"]
        (folder / f"{name}.pem").write_text("".join(part.read_text() for part in chain))


def fail(reason: str) -> NoReturn:
    """End with *reason*."""
    sys.exit(f"scripts/brokers: {reason}")
