from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from anyio import create_task_group, fail_after

from callboard_brokers import AccessRefused, Capacity, Message
from callboard_brokers.events import PublicationFailed, ServerLost
from callboard_brokers.nats import Nats, NatsOptions, NatsSource, NatsTarget

from .server import Events

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.broker("nats"),
    pytest.mark.slow,
]
SEED = "SUAGXLDLDDAMALPX4KPB4KFBS4EIPT7KUUO2QRVYVQI3YQHY2OSKTY7MCM"
"""Of the key in scripts/servers/nats.conf: a secret of nobody."""


@pytest.fixture
def asking() -> str:
    return os.environ["CALLBOARD_NATS"]


@pytest.mark.parametrize(
    "options",
    [NatsOptions(user="alice", password="alice-secret"), NatsOptions(nkeys_seed_str=SEED)],
    ids=["password", "key"],
)
async def test_whoever_proves_who_he_is_comes_in(asking: str, options: NatsOptions) -> None:
    async with Nats(asking, options).connect() as connection:
        await connection.ping()


@pytest.mark.broker("nats_tls")
async def test_a_server_is_spoken_to_by_tls_if_its_authority_is_known() -> None:
    server = os.environ["CALLBOARD_NATS_TLS"]
    known = ssl.create_default_context(
        cafile=Path(os.environ["CALLBOARD_NATS_CERTIFICATES"], "ca.crt")
    )
    async with Nats(server, NatsOptions(tls=known)).connect() as connection:
        await connection.ping()
    with fail_after(45), pytest.raises(AccessRefused, match="certificate"):
        async with Nats(server, NatsOptions(tls=ssl.create_default_context())).connect():
            pass


async def test_a_server_without_tls_is_not_spoken_to_if_that_was_asked_for(asking: str) -> None:
    options = NatsOptions(tls=ssl.create_default_context())
    with fail_after(45), pytest.raises(AccessRefused, match="TLS"):
        async with Nats(asking, options).connect():
            pass


async def test_a_password_may_stand_in_the_address_and_is_told_nobody(asking: str) -> None:
    events = Events()
    server = f"nats://alice:alice-secret@{asking}"
    async with Nats([server, "nats://127.0.0.1:1"], notify=events.append).connect() as connection:
        await connection.ping()

    assert "alice-secret" not in repr(events)


@pytest.mark.parametrize(
    "options",
    [
        NatsOptions(user="alice", password="wrong"),
        NatsOptions(token="wrong"),
        NatsOptions(user_credentials="/nowhere/to/be/found.creds"),
        NatsOptions(nkeys_seed="/nowhere/to/be/found.nk"),
        NatsOptions(nkeys_seed_str="SUANOKEY"),
    ],
)
async def test_whoever_does_not_ends_the_start(asking: str, options: NatsOptions) -> None:
    with fail_after(45), pytest.raises(AccessRefused):
        async with Nats(asking, options).connect():
            pass


async def test_a_file_that_says_nothing_of_who_we_are_ends_the_start(
    asking: str, tmp_path: Path
) -> None:
    (tmp_path / "half.creds").write_text("-----BEGIN NATS USER JWT-----\n")
    options = NatsOptions(user_credentials=str(tmp_path / "half.creds"))
    with fail_after(45), pytest.raises(AccessRefused):
        async with Nats(asking, options).connect():
            pass


async def test_a_server_that_is_not_there_is_tried_again_and_told_once() -> None:
    events = Events()

    async def connect() -> None:
        async with Nats("127.0.0.1:1", notify=events.append).connect():
            pass

    async with create_task_group() as tasks:
        tasks.start_soon(connect)
        await events.until(ServerLost)
        tasks.cancel_scope.cancel()

    assert len(events) == 1


async def test_who_may_not_read_or_publish_hears_it(asking: str) -> None:
    events = Events()
    options = NatsOptions(user="alice", password="alice-secret")
    async with Nats(asking, options, notify=events.append).connect() as connection:
        async with connection.subscribe(NatsSource("private.x"), Capacity(5)) as reading:
            with fail_after(45), pytest.raises(AccessRefused, match=r"private\.x"):
                await reading.receive(1)
        with fail_after(45), pytest.raises(AccessRefused, match=r"private\.y"):
            await connection.publish(Message(b""), NatsTarget("private.y", stream="s"))
        await connection.publish(Message(b""), NatsTarget("private.z"))
        await events.until(PublicationFailed)
        await connection.ping()

        assert connection.lost_at is None
