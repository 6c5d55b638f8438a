"""A node of RabbitMQ with a name, ports and an epmd of its own, whichever version it is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servers.machine import STATE, fail, run, running, serve, wait_for


@dataclass(frozen=True)
class Node:
    """One on loopback, called *key* in the state folder, of the programs in a folder.

    These are not the wrappers in /usr/sbin, which change the user and the folder of the logs. *erlang*
    is where Erlang is, if that is not on the path.
    """

    key: str
    port: int
    distribution: int
    epmd: int
    programs: Path
    config: str = ""
    plugins: str = ""
    erlang: Path | None = None

    def start(self) -> None:
        """Run a fresh node in the background until it answers; its files are in a temporary folder."""
        data = Path(tempfile.mkdtemp(prefix=f"callboard-{self.key}-"))
        self._data.write_text(str(data))
        config = f"listeners.tcp.1 = 127.0.0.1:{self.port}\ndisk_free_limit.absolute = 100MB\n"
        (data / "rabbitmq.conf").write_text(config + self.config)
        (data / "enabled_plugins").write_text(f"[{self.plugins}].\n")
        server = str(self.programs / "rabbitmq-server")
        serve([server], self.key, self.answers, self._environment())
        self.control("await_startup", "--timeout", "120")

    def stop(self) -> bool:
        """Stop it if it was started here; return whether it ran."""
        ran = self.process() is not None
        if ran:
            self.control("shutdown")
            wait_for(lambda: self.process() is None, "RabbitMQ to stop", self.key)
        if self._data.exists():
            # It serves this node alone, and outlives it.
            end = ["epmd", "-port", str(self.epmd), "-kill"]
            subprocess.run(end, capture_output=True, check=False, env=self._environment())
            shutil.rmtree(self._data.read_text(), ignore_errors=True)
        for name in (f"{self.key}.pid", f"{self.key}.data"):
            (STATE / name).unlink(missing_ok=True)
        return ran

    def process(self) -> int | None:
        """Return the process of the node if it was started here and still runs."""
        return running(self.key, str(self.programs / "rabbitmq-server"))

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` with the node that was started here, and return what it says."""
        if not self._data.exists():
            fail("this script has started no such RabbitMQ: scripts/brokers up")
        return run([str(self.programs / "rabbitmqctl"), "-q", *arguments], self._environment())

    def answers(self) -> bool:
        """Whether a RabbitMQ answers to the greeting of AMQP 0-9-1."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"  # a frame with a method
        except OSError:
            return False

    @property
    def _data(self) -> Path:
        return STATE / f"{self.key}.data"

    def _environment(self) -> Mapping[str, str]:
        data, path = self._data.read_text(), os.environ["PATH"]
        return {
            "PATH": path if self.erlang is None else f"{self.erlang / 'bin'}:{path}",
            "LANG": "C.UTF-8",
            "HOME": data,  # where the cookie is
            "RABBITMQ_NODENAME": f"{self.key.replace('rabbit', 'callboard')}@localhost",
            "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_MNESIA_BASE": f"{data}/mnesia",
            "RABBITMQ_LOG_BASE": f"{data}/log",
            "RABBITMQ_CONFIG_FILE": f"{data}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{data}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{data}/enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd),
        }
