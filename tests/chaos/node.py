"""A Kafka of the trials' own, which they may kill: one node, loopback only, on free ports."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .kind import Daemon, free_ports, listens

__all__ = ["KafkaNode", "missing", "node_in"]

ROOT: Final = Path(__file__).parents[2]
JAVA: Final = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
LOG: Final = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
CLUSTER: Final = "Y2FsbGJvYXJkLWNoYW9zMA"
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


class KafkaNode(Daemon):
    """One server. Its folder survives its process, hence so does what it has acknowledged."""

    def __init__(self, folder: Path, jars: Path) -> None:
        names = ("plain", "controller", "proxied", "proxy")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.address = f"127.0.0.1:{ports['plain']}"
        self.proxied = f"127.0.0.1:{ports['proxied']}"
        self.proxy = f"127.0.0.1:{ports['proxy']}"
        """Where a proxy has to listen; it leads to `proxied`."""
        properties = folder / "server.properties"
        properties.write_text(PROPERTIES.format(data=folder / "data", **ports))
        java = [*JAVA, LOG, "-cp", f"{jars}/*"]
        form = ["format", "--standalone", "-t", CLUSTER, "-c", str(properties)]
        subprocess.run([*java, "kafka.tools.StorageTool", *form], check=True, capture_output=True)
        run = [*java, "kafka.Kafka", str(properties)]
        super().__init__(run, folder, lambda: listens(self.address))


def missing() -> str | None:
    """Say why there can be no node of our own; None if there can."""
    if shutil.which("java") is None:
        return "java is missing, which runs a Kafka that may be killed"
    if not any(ROOT.glob(".brokers/kafka-*")):
        return "the jars of Kafka are missing; make brokers-up fetches them"
    return None


@contextmanager
def node_in(folder: Path) -> Generator[KafkaNode]:
    """Run a node, and leave nothing of it."""
    jars = max(ROOT.glob(".brokers/kafka-*"))
    node = KafkaNode(folder, jars)
    try:
        node.start()
        yield node
    finally:
        node.stop(signal.SIGKILL)
        shutil.rmtree(folder / "data", ignore_errors=True)
