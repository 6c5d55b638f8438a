"""What the tests do to a real RabbitMQ beside the adapter, and how they read."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiormq
import pytest
from anyio import fail_after, run_process, sleep

from callboard_brokers import Delivery, Subscription

NODES = ["rabbit", pytest.param("rabbit_newer", marks=pytest.mark.broker("rabbit_newer"))]
"""An older version and a newer one, which count and delay otherwise."""
on_both = pytest.mark.parametrize("node", NODES, indirect=True)
_SCRIPT = Path(__file__).parents[3] / "scripts" / "brokers"


class Server:
    """The server under test, past the adapter."""

    def __init__(self, client: aiormq.Connection) -> None:
        self._client = client

    @property
    def version(self) -> tuple[int, ...]:
        """Which RabbitMQ it is."""
        told = str(self._client.server_properties.get("version"))
        return tuple(int(part) for part in told.split(".")[:2])

    async def declare(self, queue: str, arguments: Mapping[str, Any] | None = None) -> None:
        """Make *queue*."""
        channel = await self._client.channel()
        await channel.queue_declare(queue, durable=True, arguments=dict(arguments or {}))
        await channel.close()

    async def publish(self, queue: str, headers: Mapping[str, Any]) -> None:
        """Publish an empty message with *headers*."""
        channel = await self._client.channel()
        properties = aiormq.spec.Basic.Properties(headers=dict(headers))
        await channel.basic_publish(b"", routing_key=queue, properties=properties)
        await channel.close()

    async def take_all(self, queue: str) -> list[bytes]:
        """Return the bodies of what waits in *queue*, and take it out."""
        channel = await self._client.channel()
        bodies: list[bytes] = []
        while (message := await channel.basic_get(queue, no_ack=True)).delivery_tag is not None:
            bodies.append(message.body)
        await channel.close()
        return bodies

    async def until_there(self, queue: str) -> list[bytes]:
        """Wait until something is in *queue*; take it out, and return the bodies."""
        with fail_after(45):
            while not (bodies := await self.take_all(queue)):  # noqa: ASYNC110 - a server tells nobody
                await sleep(0.05)
        return bodies

    async def move(self, source: str, target: str) -> None:
        """Wait until something is in *source*; publish it to *target*, as it is."""
        channel = await self._client.channel()
        with fail_after(45):
            while True:
                try:
                    message = await channel.basic_get(source, no_ack=True)
                except aiormq.exceptions.AMQPChannelError:  # the queue is not there yet
                    channel = await self._client.channel()
                else:
                    if message.delivery_tag is not None:
                        break
                await sleep(0.05)
        properties = message.header.properties
        await channel.basic_publish(message.body, routing_key=target, properties=properties)
        await channel.close()

    async def delete(self, queue: str) -> None:
        """Delete *queue*, if it is there."""
        channel = await self._client.channel()
        await channel.queue_delete(queue)
        await channel.close()

    async def delete_exchange(self, exchange: str) -> None:
        """Delete *exchange*."""
        channel = await self._client.channel()
        await channel.exchange_delete(exchange)
        await channel.close()


@asynccontextmanager
async def server_at(url: str) -> AsyncGenerator[Server]:
    async with aiormq.connect(url) as client:
        yield Server(client)


async def control(*arguments: str, node: str = "rabbit") -> str:
    """Run `rabbitmqctl`."""
    done = await run_process([sys.executable, str(_SCRIPT), "rabbitmqctl", node, *arguments])
    return done.stdout.decode()


def url_of(node: str) -> str:
    """Return the URL of the server that is called *node*."""
    return os.environ[f"CALLBOARD_{node.upper()}"]


def through_proxy(node: str = "rabbit") -> tuple[str, str]:
    """Return where the server is, and where a proxy for it has to listen."""
    at = urlsplit(url_of(node))
    return f"{at.hostname}:{at.port}", url_of(f"{node}_proxy")


def proxied(node: str = "rabbit") -> str:
    """Return the URL of the server through the proxy."""
    at = urlsplit(url_of(node))
    login = at.netloc.rpartition("@")[0]
    return urlunsplit(at._replace(netloc=f"{login}@{url_of(f'{node}_proxy')}"))


def trusting(*, client: bool = False) -> SSLContext:
    """Trust the authority of the test server; with its certificate for a client if asked to."""
    certificates = Path(os.environ["CALLBOARD_RABBIT_CERTIFICATES"])
    context = create_default_context(cafile=certificates / "ca.crt")
    if client:
        context.load_cert_chain(certificates / "client.pem")
    return context


def answers(host: str, port: int) -> bool:
    """Whether a RabbitMQ answers there to the greeting of AMQP."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


async def take(subscription: Subscription, count: int, patience: float = 45.0) -> list[Delivery]:
    """Receive *count* deliveries."""
    taken: list[Delivery] = []
    with fail_after(patience):
        while len(taken) < count:
            taken += await subscription.receive(count - len(taken))
    return taken


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]
