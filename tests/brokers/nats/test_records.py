from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from callboard_brokers import DestinationError
from callboard_brokers.nats import (
    ConsumerConfig,
    JStream,
    KvWatch,
    Nats,
    NatsOptions,
    NatsSource,
    ObjWatch,
)
from callboard_brokers.nats._config import said


@pytest.mark.parametrize(
    ("source", "kind", "filters"),
    [
        (NatsSource("a.{b}"), "core", ["a.*"]),
        (NatsSource("a", stream="s"), "pull", ["a"]),
        (NatsSource(stream="s"), "pull", []),
        (NatsSource(stream="s", filter_subjects=["a", "b.*"]), "pull", ["a", "b.*"]),
        (NatsSource("a", stream="s", pull_sub=False), "push", ["a"]),
        (NatsSource("a", stream="s", ordered_consumer=True), "ordered", ["a"]),
        (NatsSource("k.*", kv_watch=KvWatch("b")), "kv", ["$KV.b.k.*"]),
        (NatsSource(kv_watch="b"), "kv", ["$KV.b.>"]),
        (NatsSource("b", obj_watch=True), "object", ["$O.b.M.>"]),
        (NatsSource("b", obj_watch=ObjWatch()), "object", ["$O.b.M.>"]),
    ],
)
def test_a_source_is_of_one_kind(source: NatsSource, kind: str, filters: list[str]) -> None:
    assert source.kind == kind
    assert list(source.filters) == filters


@pytest.mark.parametrize(
    "make",
    [
        lambda: NatsSource(),
        lambda: NatsSource("a", stream="s", kv_watch="b"),
        lambda: NatsSource("a", durable="d"),
        lambda: NatsSource("a", stream="s", durable="d.e"),
        lambda: NatsSource("a", stream="s t"),
        lambda: NatsSource("a", stream="s", filter_subjects=["b"]),
        lambda: NatsSource("a", stream="s", ordered_consumer=True, durable="d"),
        lambda: NatsSource("a", kv_watch="b.c"),
        lambda: NatsSource(obj_watch=True),
        lambda: JStream("s", ["a b"]),
    ],
)
def test_a_source_that_cannot_be_is_refused_where_it_is_declared(
    make: Callable[[], object],
) -> None:
    with pytest.raises(DestinationError):
        make()


def test_a_prefix_is_for_subjects_and_keys_and_not_for_streams_and_buckets() -> None:
    sources = [
        NatsSource("a", stream="s", durable="d"),
        NatsSource(stream="s", filter_subjects=["a", "b"]),
        NatsSource("k", kv_watch="b"),
        NatsSource("b", obj_watch=True),
    ]

    assert [each.prefixed("p.").address for each in sources] == ["p.a", "p.a,p.b", "p.k", "b"]


def test_only_what_a_consumer_accounts_for_comes_again() -> None:
    nats = Nats()
    features = [
        nats.features(source)
        for source in (
            NatsSource("a"),
            NatsSource("a", "q"),
            NatsSource("a", stream="s"),
            NatsSource("a", stream="s", durable="d"),
            NatsSource(kv_watch="b"),
        )
    ]

    assert [each.redelivers for each in features] == [False, False, True, True, False]
    assert [each.groups for each in features] == [False, True, False, True, False]
    assert [each.persistent for each in features] == [False, False, False, True, False]


def test_the_server_is_told_what_was_said_in_its_own_units() -> None:
    config = ConsumerConfig(
        ack_wait=1.5, backoff=[1, 2], opt_start_time=datetime(2026, 1, 2, tzinfo=UTC)
    )

    assert said(config) == {
        "ack_wait": 1_500_000_000,
        "backoff": [1_000_000_000, 2_000_000_000],
        "opt_start_time": "2026-01-02T00:00:00+00:00",
    }


def test_no_secret_is_shown() -> None:
    options = NatsOptions(password="p-secret", token="t-secret", nkeys_seed_str="s-secret")

    assert "secret" not in repr(options)


@pytest.mark.parametrize("address", ["http://here:4222", "", "nats://", "nats://one,amqp://two"])
def test_an_address_of_something_else_is_refused(address: str) -> None:
    with pytest.raises(DestinationError, match="the address of a NATS is nats://"):
        Nats(address)
