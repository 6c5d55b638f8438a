"""Queues, exchanges, sources and targets: what they say, and what is refused at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from callboard_brokers import DestinationError
from callboard_brokers.rabbit import (
    Channel,
    ExchangeType,
    QueueType,
    RabbitExchange,
    RabbitQueue,
    RabbitSource,
    RabbitTarget,
)

TOPICS = RabbitExchange("logs", ExchangeType.TOPIC)


def test_a_queue_says_its_options_as_the_server_calls_them() -> None:
    queue = RabbitQueue(
        "orders",
        QueueType.QUORUM,
        delivery_limit=3,
        dead_letter_exchange="",
        dead_letter_routing_key="orders.dead",
        delayed_retry_type="failed",
        delayed_retry_min=0.5,
        message_ttl=1.5,
        arguments={"x-queue-leader-locator": "balanced"},
    )

    assert queue.declared == {
        "x-queue-type": "quorum",
        "x-queue-leader-locator": "balanced",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "orders.dead",
        "x-delivery-limit": 3,
        "x-delayed-retry-type": "failed",
        "x-delayed-retry-min": 500,
        "x-message-ttl": 1500,
    }


def stream_from(offset: object) -> RabbitSource:
    return RabbitSource(RabbitQueue("q", "stream"), consume_args={"x-stream-offset": offset})


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: RabbitQueue(""), "cannot be the name of a queue"),
    (lambda: RabbitQueue("logs.{level}"), "without braces"),
    (lambda: RabbitQueue("x" * 256), "255 bytes"),
    (lambda: RabbitQueue("q", routing_key="logs.{"), "logs.{"),
    (lambda: RabbitQueue("q", "lazy"), "queue_type='lazy'"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - wrong on purpose
    (lambda: RabbitQueue("q", "quorum", exclusive=True), "must be durable"),
    (lambda: RabbitQueue("q", "stream", durable=False), "must be durable"),
    (lambda: RabbitQueue("q", "quorum", max_priority=5), "max_priority=5, which is for: classic"),
    (lambda: RabbitQueue("q", delivery_limit=5), "delivery_limit=5, which is for: quorum"),
    (lambda: RabbitQueue("q", "stream", message_ttl=5), "is for: classic, quorum"),
    (lambda: RabbitExchange("x" * 256), "cannot be the name of a"),
    (lambda: Channel(0), "prefetch_count=0"),
    (lambda: Channel(10, global_qos=True), "global_qos=True: it is always False, since quorum"),
    (lambda: Channel(channel_number=3), "channel_number=3: it is always None"),
    (lambda: Channel(on_return_raises=False), "may it be lost, mandatory=False"),
    (lambda: RabbitTarget(), "give a queue, or an exchange"),
    (lambda: RabbitTarget("logs.{level}"), "none with braces"),
    (lambda: RabbitTarget("", "", routing_key=""), "give a queue, or an exchange"),
    (lambda: RabbitTarget("a", routing_key="b"), "routing_key='b': without an exchange"),
    (lambda: RabbitExchange("logs", "topics"), "type='topics'; give one of"),
    (lambda: RabbitSource(RabbitQueue("q", routing_key="a.{b}"), "logs"), "a topic exchange"),
    (lambda: RabbitSource(RabbitQueue("q", routing_key="a.{b}")), "a topic exchange"),
    (lambda: RabbitSource("q", consume_args={"x-stream-offset": "first"}), "only a stream"),
    (lambda: stream_from("begin"), "x-stream-offset='begin'; give one of first, last, next"),
    (lambda: stream_from(0.5), "x-stream-offset=0.5"),
]


@pytest.mark.parametrize(("make", "why"), WRONG)
def test_what_the_server_would_refuse_is_refused_at_once(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(DestinationError, match=why):
        make()


def test_what_a_channel_always_is_may_be_said() -> None:
    said = Channel(10, False, None, publisher_confirms=True, on_return_raises=True)

    assert said == Channel(prefetch_count=10)


def test_a_name_in_braces_is_one_word_of_the_binding() -> None:
    source = RabbitSource(RabbitQueue("errors", routing_key="logs.{level}.#"), TOPICS)

    assert source.binding.wildcard() == "logs.*.#"
    assert source.address == "errors"


@pytest.mark.parametrize(
    ("binding", "key", "path"),
    [
        ("logs.{level}", "logs.error", {"level": "error"}),
        ("logs.{level}", "logs.a/b", {"level": "a/b"}),
        ("logs.{level}", "logs.error.disk", None),
        ("logs.{level}", "logs.", None),
        ("{place}.v{version}.#", "eu.v2", {"place": "eu", "version": "2"}),
        ("{place}.v{version}.#", "eu.v2.a.b", {"place": "eu", "version": "2"}),
        ("*.error", "disk.error", {}),
        ("*.error", "a.disk.error", None),
        ("#.error", "error", {}),
        ("#.error", "a.disk.error", {}),
        ("#", "", {}),
        ("a.#.b", "a.b", {}),
        ("a.#.b", "a.x.y.c", None),
        ("a+b", "aab", None),
    ],
)
def test_a_binding_matches_words(binding: str, key: str, path: dict[str, str] | None) -> None:
    source = RabbitSource(RabbitQueue("q", routing_key=binding), TOPICS)

    assert source.binding.match(key) == path


@pytest.mark.parametrize("offset", ["first", "next", "1h", 5, datetime(2026, 1, 1, tzinfo=UTC)])
def test_a_stream_is_read_from_a_place_on(offset: object) -> None:
    assert stream_from(offset).is_stream


def test_a_queue_is_the_same_by_another_routing_key_and_what_is_read_of_it_is_not() -> None:
    one, other = (RabbitQueue("q", routing_key=key) for key in "ab")

    assert one == other
    assert RabbitSource(one, TOPICS) != RabbitSource(other, TOPICS)
    assert RabbitSource(one, TOPICS) == RabbitSource(one, TOPICS)


def test_messages_are_addressed_by_the_routing_key_where_the_exchange_looks_at_it() -> None:
    queue = RabbitQueue("errors", routing_key="logs.{level}")

    assert RabbitSource(queue, TOPICS).addresses == ["logs.{level}"]
    assert RabbitSource("errors", RabbitExchange("logs", "fanout")).addresses == ["errors"]


def test_a_prefix_goes_before_queues_and_routing_keys_not_before_exchanges() -> None:
    source = RabbitSource(RabbitQueue("errors", routing_key="error"), "logs").prefixed("eu.")
    target = RabbitTarget("errors", "logs", routing_key="error").prefixed("eu.")

    assert (source.reads.name, source.reads.routing_key) == ("eu.errors", "eu.error")
    assert (target.queue, target.key, target.through) == ("eu.errors", "eu.error", "logs")
    assert RabbitSource("errors").prefixed("eu.").reads.routing_key == ""


def test_a_target_takes_the_routing_key_of_its_queue_through_an_exchange() -> None:
    queue = RabbitQueue("errors", routing_key="error")

    assert RabbitTarget(queue, "logs").key == "error"
    assert RabbitTarget(queue).key == "errors"
    assert RabbitTarget(queue, "logs", routing_key="fatal").key == "fatal"
    assert RabbitTarget(exchange="logs").address == "logs"


def test_the_exchange_without_a_name_is_the_one_that_every_queue_is_bound_to() -> None:
    assert RabbitSource("q", RabbitExchange()).bound_to is None
    assert RabbitTarget("q", RabbitExchange()).through == ""


def test_a_delayed_exchange_says_how_it_chooses() -> None:
    exchange = RabbitExchange(
        "later", ExchangeType.X_DELAYED_MESSAGE, delayed_type=ExchangeType.TOPIC
    )

    assert exchange.declared == {"x-delayed-type": "topic"}
