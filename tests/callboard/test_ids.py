"""Ids of messages, and what ties them together."""

from __future__ import annotations

from uuid import UUID

import pytest

from callboard import DeclarationError, MemoryBroker, TestBroker

pytestmark = pytest.mark.anyio


async def test_ids_look_like_uuids_and_differ() -> None:
    broker = MemoryBroker()
    reader = broker.subscriber("in")

    async with TestBroker(broker):
        for n in range(2):
            await broker.publish(n, "in")
        seen = [await reader.get_one(), await reader.get_one()]
        ids = {UUID(each.message_id or "") for each in seen if each is not None}

        assert len(ids) == 2
        assert {each.version for each in ids} == {4}


async def test_a_generator_makes_correlation_ids_and_no_others() -> None:
    broker = MemoryBroker(id_generator=iter(["a", "b"]).__next__)
    reader = broker.subscriber("in")

    async with TestBroker(broker):
        await broker.publish(1, "in")
        await broker.publish(2, "in", correlation_id="mine")
        await broker.publish(3, "in")
        seen = [await reader.get_one() for _ in range(3)]

        assert [each and each.correlation_id for each in seen] == ["a", "mine", "b"]
        assert len({each and each.message_id for each in seen}) == 3


async def test_an_id_generator_is_a_function() -> None:
    with pytest.raises(DeclarationError, match="id_generator='7' of a broker must be a function"):
        MemoryBroker(id_generator="7")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - the point
