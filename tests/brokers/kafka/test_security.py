"""Who is let in, over what, and what is said to the others."""

from __future__ import annotations

import json
import logging
import os
import ssl
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from anyio import fail_after

from callboard_brokers import AccessRefused, Capacity, Message
from callboard_brokers.kafka import Kafka, KafkaOptions, KafkaTarget
from callboard_brokers.kit import (
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)

from ...leaks import PASSWORD, WRONG_PASSWORD
from .cluster import bodies, source, take

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ALICE = "alice", PASSWORD


@pytest.fixture(autouse=True)
def _everything_is_logged(  # pyright: ignore[reportUnusedFunction] - pytest uses it
    caplog: pytest.LogCaptureFixture,
) -> None:
    """For the check that no test writes a secret."""
    caplog.set_level(logging.DEBUG)


def trusting(*, client: bool = False) -> ssl.SSLContext:
    """Trust the authority of the test servers; with its certificate for a client if asked to."""
    certificates = Path(os.environ["CALLBOARD_KAFKA_CERTIFICATES"])
    context = ssl.create_default_context(cafile=certificates / "ca.crt")
    if client:
        context.load_cert_chain(certificates / "client.pem")
    return context


def token(seconds: int) -> Callable[[], Awaitable[str]]:
    """Make unsigned tokens that expire after so many *seconds*."""

    def encoded(part: Mapping[str, object]) -> str:
        return urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    async def make() -> str:
        now = int(time.time())
        claims = {"sub": "alice", "iat": now - 7200, "exp": now + seconds}
        return f"{encoded({'alg': 'none'})}.{encoded(claims)}."

    return make


async def carries(address: str, security: BaseSecurity | None) -> bool:
    """Whether a message goes there and comes back."""
    topic = f"test.{uuid4().hex}"
    async with Kafka(address, KafkaOptions(security=security)).connect() as connection:
        await connection.publish(Message(b"secret"), KafkaTarget(topic))
        async with connection.subscribe(source(topic), Capacity(10)) as subscription:
            return bodies(await take(subscription, 1)) == [b"secret"]


@pytest.mark.broker("kafka_sasl")
@pytest.mark.parametrize("security", [SASLPlaintext(*ALICE), SASLScram256(*ALICE)])
async def test_a_password_lets_in(security: BaseSecurity) -> None:
    assert await carries(os.environ["CALLBOARD_KAFKA_SASL"], security)


@pytest.mark.broker("kafka_sasl_tls")
async def test_scram_over_tls_lets_in() -> None:
    security = SASLScram512(*ALICE, ssl_context=trusting())

    assert await carries(os.environ["CALLBOARD_KAFKA_SASL_TLS"], security)


@pytest.mark.broker("kafka_tls")
async def test_tls_lets_in_whoever_trusts_the_server() -> None:
    address = os.environ["CALLBOARD_KAFKA_TLS"]

    assert await carries(address, BaseSecurity(ssl_context=trusting()))


@pytest.mark.broker("kafka_mtls")
async def test_a_certificate_lets_in() -> None:
    address = os.environ["CALLBOARD_KAFKA_MTLS"]

    assert await carries(address, BaseSecurity(ssl_context=trusting(client=True)))


@pytest.mark.broker("kafka_oauth")
async def test_a_token_lets_in() -> None:
    assert await carries(os.environ["CALLBOARD_KAFKA_OAUTH"], SASLOAuthBearer(token=token(60)))


async def refused(variable: str, security: BaseSecurity, reason: str) -> None:
    address = os.environ[variable]
    expected = rf"does not let us in: {address}.*{reason}"
    with pytest.raises(AccessRefused, match=expected), fail_after(45):
        await carries(address, security)


@pytest.mark.broker("kafka_sasl")
@pytest.mark.parametrize("kind", [SASLPlaintext, SASLScram256, SASLScram512])
async def test_a_wrong_password_ends_the_start(kind: type[SASLPlaintext]) -> None:
    security = kind("alice", WRONG_PASSWORD)
    await refused("CALLBOARD_KAFKA_SASL", security, "Authentication failed")


@pytest.mark.broker("kafka_tls")
async def test_a_server_that_is_not_trusted_ends_the_start() -> None:
    security = BaseSecurity(use_ssl=True)
    await refused("CALLBOARD_KAFKA_TLS", security, "certificate verify failed")


@pytest.mark.broker("kafka_oauth")
async def test_a_token_that_has_expired_ends_the_start() -> None:
    """The client itself takes the refusal for an acceptance."""
    security = SASLOAuthBearer(token=token(-60))
    await refused("CALLBOARD_KAFKA_OAUTH", security, "refuses the token")


@pytest.mark.broker("kafka_oauth")
async def test_a_mechanism_that_is_not_spoken_there_ends_the_start() -> None:
    await refused("CALLBOARD_KAFKA_OAUTH", SASLPlaintext(*ALICE), "UnsupportedSaslMechanism")


def test_secrets_are_not_shown() -> None:
    shown = repr(KafkaOptions(security=SASLScram512(*ALICE)))

    assert "alice" in shown
    assert "secret" not in shown
