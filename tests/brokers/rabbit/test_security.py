"""TLS, and certificates in the place of passwords, on a real server."""

from __future__ import annotations

import os

import pytest
from anyio import fail_after

from callboard_brokers import AccessRefused, Capacity, Message
from callboard_brokers.rabbit import Rabbit, RabbitOptions, RabbitSource, RabbitTarget

from .server import bodies, take, trusting

pytestmark = [pytest.mark.anyio, pytest.mark.broker("rabbit_tls"), pytest.mark.slow]


@pytest.fixture
def address() -> str:
    return os.environ["CALLBOARD_RABBIT_TLS"]


async def carries(rabbit: Rabbit, target: RabbitTarget) -> bool:
    """Whether a message goes there and comes back."""
    async with (
        rabbit.connect() as connection,
        connection.subscribe(RabbitSource(target.key), Capacity(10)) as subscription,
    ):
        await connection.publish(Message(b"secret"), target)
        [delivery] = await take(subscription, 1)
        delivery.ack()
        return bodies([delivery]) == [b"secret"]


async def refused(rabbit: Rabbit, why: str) -> None:
    with fail_after(20), pytest.raises(AccessRefused, match=why):
        async with rabbit.connect():
            pass


async def test_a_password_goes_by_tls_to_a_server_that_is_trusted(address: str, queue: str) -> None:
    options = RabbitOptions(ssl_context=trusting())

    assert await carries(Rabbit(f"amqps://guest:guest@{address}/", options), RabbitTarget(queue))


async def test_a_certificate_lets_in_whom_it_names(address: str, queue: str) -> None:
    options = RabbitOptions(ssl_context=trusting(client=True), external=True)
    # The server takes no message that says to be from another user.
    target = RabbitTarget(queue, user_id="callboard-client")

    assert await carries(Rabbit(f"amqps://{address}/", options), target)


async def test_a_certificate_of_nobody_known_ends_the_start(address: str) -> None:
    options = RabbitOptions(ssl_context=trusting(), external=True)

    await refused(Rabbit(f"amqps://{address}/", options), "EXTERNAL")


async def test_a_server_that_is_not_trusted_ends_the_start(address: str) -> None:
    await refused(Rabbit(f"amqps://guest:guest@{address}/"), "certificate verify failed")


async def test_a_server_that_speaks_no_tls_ends_the_start_if_that_was_asked_for(url: str) -> None:
    await refused(Rabbit(url.replace("amqp:", "amqps:")), "TLS")
