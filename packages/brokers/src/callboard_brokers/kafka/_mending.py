"""What the client does badly, done from its inside: to stop in time, to survive a refusal, to wait.

And what it does not tell: which place it has in its group.

Found with aiokafka 0.14; its parts are private, and untyped.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from asyncio import Future, ensure_future, get_running_loop, shield, wait
from itertools import chain
from typing import Any, NamedTuple

from anyio import CancelScope, current_time, get_cancelled_exc_class, sleep

from callboard_brokers._errors import ConnectionClosed
from callboard_brokers.kit import heard, in_time

SHORTEST, LONGEST = 0.1, 0.5
"""Seconds to wait after metadata that did not come; doubled every time."""
_COORDINATION = 1
"""What a connection is for that speaks of a group alone, as the client counts."""
HASTE = 5
"""How often metadata may be asked for without a pause: a few topics that are new, but no spin."""


class Place(NamedTuple):
    """What a group knows a member by, and the server that coordinates the group."""

    host: str
    port: int
    group: str
    generation: int
    member: str
    heard: float
    """When that server has answered last, by `time.monotonic`."""


def heard_at(client: Any) -> float:
    """Return when a server has answered a consumer or producer last, by `time.monotonic`."""
    return max((each._last_action for each in _inside(client)._conns.values()), default=0.0)


def place_of(consumer: Any) -> Place | None:
    """Return the place of *consumer* in its group, None while it has none; from any thread."""
    group = consumer._coordinator
    if group is None or group.coordinator_id is None:
        return None  # not started yet, or the server is away
    server = consumer._client.cluster.broker_metadata(group.coordinator_id)
    generation, member = group.generation, group.member_id
    if server is None or generation < 0 or not member:
        return None
    link = consumer._client._conns.get((group.coordinator_id, _COORDINATION))
    heard = 0.0 if link is None else link._last_action
    return Place(server.host, server.port, group.group_id, generation, member, heard)


async def start(client: Any) -> None:
    """Start *client*; who is cancelled meanwhile waits a second for its first question.

    It would forget the connection that it has put that on, which would stay open.
    """
    task = ensure_future(client.start())
    task.add_done_callback(heard)
    try:
        await shield(task)
    except get_cancelled_exc_class():
        with CancelScope(shield=True):
            await wait({task}, timeout=1.0)
            if task.cancel():
                await wait({task}, timeout=1.0)
        raise


def _inside(client: Any) -> Any:
    """Return what holds the connections of a consumer or producer."""
    return client._client if hasattr(client, "_client") else client.client


class _Shut(dict[object, Any]):
    """The connections of a client that has stopped; one that was still being made is closed."""

    def __setitem__(self, key: object, link: Any) -> None:
        link.close()
        super().__setitem__(key, link)


async def stop(client: Any, patience: float) -> None:
    """Stop *client*; after *patience* seconds without waiting for the servers any more."""
    inside = _inside(client)
    with CancelScope(shield=True):
        if not await in_time(client.stop(), patience):
            # What it would have done last.
            if hasattr(client, "_sender"):
                await _cut_off(client)
            await in_time(inside.close(), 1.0)
        late, inside._conns = inside._conns, _Shut()
        for each in late.values():
            each.close()


async def abandon(producer: Any) -> None:
    """Stop *producer* in the midst of whatever it does."""
    with CancelScope(shield=True):
        await _cut_off(producer)
        await stop(producer, 1.0)


async def _cut_off(producer: Any) -> None:
    """Let *producer* send nothing more, and fail what it has not sent."""
    await in_time(producer._sender.close(), 1.0)
    waiting = producer._message_accumulator
    batches = [*waiting._pending_batches, *chain.from_iterable(waiting._batches.values())]
    waiting.fail_all(ConnectionClosed("the connection to Kafka was left before it was sent"))
    # Nobody waits for these any more; asked for their errors, they do not log them.
    left = [producer._sender.sender_task, *(each._drain_waiter for each in batches)]
    if producer._txn_manager is not None:
        left.append(producer._txn_manager._transaction_waiter)
    for each in left:
        if each is not None and each.done() and not each.cancelled():
            each.exception()


class _OnTheirWay(set[object]):
    """Batches that were sent; one that has failed, or waits to be sent again, may be gone already."""

    def remove(self, element: object) -> None:
        self.discard(element)


def survive_failures(producer: Any) -> None:
    """Let a batch of *producer* fail while it is about to be sent again, and the other way round.

    Whoever cuts off a producer fails all that it holds, and the client, which takes out of its set
    what it has taken out before, ends in a `KeyError` of a task or callback that nobody awaits.
    """
    producer._message_accumulator._pending_batches = _OnTheirWay()


def survive_refusals(producer: Any) -> None:
    """Let *producer* go on under a new id after a batch that Kafka did not take.

    The client has counted that batch: the next one to its partition, and all that come after, would
    be refused as out of order. Those on their way keep their old ids, so nothing is doubled.
    """
    manager, append = producer._txn_manager, producer._message_accumulator._append_batch

    def renew(batch: Future[object]) -> None:
        if not batch.cancelled() and batch.exception() is not None and manager.has_pid():
            manager._pid_and_epoch = type(manager._pid_and_epoch)(-1, -1)
            manager._pid_waiter = get_running_loop().create_future()
            manager._sequence_numbers.clear()

    def watched(builder: object, partition: object) -> Any:
        batch = append(builder, partition)
        # Called before the client looks for the next batch, which takes it a few steps.
        batch.future.add_done_callback(renew)
        return batch

    producer._message_accumulator._append_batch = watched


def pace(client: Any) -> None:
    """Let *client* pause between its questions for metadata, if they are of no use.

    Its sender asks again at once while a partition has no leader. A server that is away refuses a
    connection in no time, and one that is leaving answers as fast, so that it burns a core.
    """
    update = client._metadata_update
    delay, ended, hurried = SHORTEST, 0.0, 0

    async def paced(cluster: object, topics: object) -> bool:
        nonlocal delay, ended, hurried
        hurried = hurried + 1 if current_time() - ended < SHORTEST else 0
        if hurried >= HASTE:
            await sleep(SHORTEST)
        updated: bool = await update(cluster, topics)
        if updated:
            delay = SHORTEST
        else:
            await sleep(delay)
            delay = min(2 * delay, LONGEST)
        ended = current_time()
        return updated

    client._metadata_update = paced
