"""Packages of Debian's unstable suite, unpacked beside the system, which takes no notice of them.

apt fetches them with a state of its own, from the mirror that the machine has. Nothing is installed,
so neither root nor a container is needed: a program of theirs is started by their own loader, with
their own libraries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers.machine import Absent, run

_KEYS = "/usr/share/keyrings/debian-archive-keyring.*"
_SETTINGS = """\
Dir "{state}";
Dir::State::status "{state}/status";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Keep-Downloaded-Packages "true";
#clear APT::Update;
#clear DPkg;
"""
"""What the machine says of proxies holds; what it has done after an update or an installation does not."""


def unpack(package: str, wanted: Sequence[str], root: Path) -> None:
    """Unpack what *package* needs into the folder *root*, as far as it is called like one of *wanted*.

    Raises:
        Absent: It cannot be had here.
    """
    state = root.with_suffix(".apt")
    shutil.rmtree(state, ignore_errors=True)
    for folder in ("etc/apt", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "settings").write_text(_SETTINGS.format(state=state))
    (state / "etc" / "apt" / "sources.list").write_text(_source())
    apt = ["apt-get", "-c", str(state / "settings"), "-qq"]
    _fetch([*apt, "-o", "APT::Update::Error-Mode=any", "update"])
    _fetch([*apt, "-y", "--no-install-recommends", "--download-only", "install", package])
    incomplete = root.with_suffix(".incomplete")
    shutil.rmtree(incomplete, ignore_errors=True)
    archives = state / "var" / "cache" / "apt" / "archives"
    for pattern in wanted:
        for archive in sorted(archives.glob(f"{pattern}_*.deb")):
            run(["dpkg", "--extract", str(archive), str(incomplete)])
    shutil.rmtree(state)
    incomplete.rename(root)


def start_by_their_loader(programs: Sequence[Path], root: Path) -> None:
    """Have those of *programs* that are no scripts find their libraries below *root*."""
    [libraries] = (root / "usr" / "lib").glob("*-linux-gnu*")
    [loader] = libraries.glob("ld-linux*.so.*")
    for program in programs:
        if not program.read_bytes().startswith(b"\x7fELF"):
            continue
        behind = program.with_name(f"{program.name}.elf")
        program.rename(behind)
        begin = f'exec {loader} --library-path {libraries} --argv0 "$0" {behind} "$@"'
        program.write_text(f"#!/bin/sh\n{begin}\n")
        program.chmod(0o755)


def _source() -> str:
    """Return a source of the unstable suite at the first mirror of Debian that the machine has."""
    if not shutil.which("apt-get"):
        raise Absent("there is no apt-get")
    release = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    if release.get("ID") != "debian":
        raise Absent("this is no Debian")
    asked = ["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    lines = _fetch(["apt-get", *asked]).splitlines()
    suites = {release.get("VERSION_CODENAME"), "stable", "testing", "sid", "unstable"}
    mirrors = [uri for uri, _, suite in (line.partition(" ") for line in lines) if suite in suites]
    keys = sorted(Path("/").glob(_KEYS.lstrip("/")))
    if not mirrors or not keys:
        raise Absent("apt knows no mirror of Debian, or none of its keys")
    return f"deb [signed-by={keys[0]}] {mirrors[0]} sid main\n"


def _fetch(command: Sequence[str]) -> str:
    plain: Mapping[str, str] = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=plain)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise Absent(f"apt cannot fetch it: {said[0]}")
    return done.stdout
