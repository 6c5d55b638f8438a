"""A Kafka of the trials' own, which they may kill: one node, loopback only, on free ports."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

__all__ = ["Node", "node_in"]

ROOT: Final = Path(__file__).parents[2]
JAVA: Final = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
LOG: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
CLUSTER: Final = "Y2FsbGJvYXJkLWNoYW9zMA"
PATIENCE: Final = 60.0
PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},PROXIED://127.0.0.1:{proxied}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},PROXIED://127.0.0.1:{proxy}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=1500
"""


class Node:
    """One server. Its folder survives its process, hence so does what it has acknowledged."""

    def __init__(self, folder: Path, jars: Path) -> None:
        names = ("plain", "controller", "proxied", "proxy")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.address = f"127.0.0.1:{ports['plain']}"
        self.proxied = f"127.0.0.1:{ports['proxied']}"
        self.proxy = f"127.0.0.1:{ports['proxy']}"
        """Where a proxy has to listen; it leads to `proxied`."""
        self._folder = folder
        self._properties = folder / "server.properties"
        self._properties.write_text(PROPERTIES.format(data=folder / "data", **ports))
        self._java = [*JAVA, LOG, "-cp", f"{jars}/*"]
        self._process: subprocess.Popen[bytes] | None = None
        form = ["format", "--standalone", "-t", CLUSTER, "-c", str(self._properties)]
        self._run = [*self._java, "kafka.Kafka", str(self._properties)]
        subprocess.run(
            [*self._java, "kafka.tools.StorageTool", *form], check=True, capture_output=True
        )

    def start(self) -> None:
        """Return when it answers."""
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._run, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise ChildProcessError(f"Kafka does not start: {self._folder / 'server.log'}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, in good order unless by SIGKILL."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def _answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def missing() -> str | None:
    """Say why there can be no node of our own; None if there can."""
    if shutil.which("java") is None:
        return "java is missing, which runs a Kafka that may be killed"
    if not any(ROOT.glob(".brokers/kafka-*")):
        return "the jars of Kafka are missing; make brokers-up fetches them"
    return None


@contextmanager
def node_in(folder: Path) -> Generator[Node]:
    """Run a node, and leave nothing of it."""
    jars = max(ROOT.glob(".brokers/kafka-*"))
    node = Node(folder, jars)
    try:
        node.start()
        yield node
    finally:
        node.stop(signal.SIGKILL)
        shutil.rmtree(folder / "data", ignore_errors=True)
