"""What `help()` and editors show of methods whose options are declared in records."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any

import pytest

from callboard import MemoryBroker
from callboard.extending import PublishOptions, SubscriberOptions
from callboard.memory import MemorySource, MemoryTarget
from callboard.nats import NatsBroker
from callboard.rabbit import RabbitBroker
from callboard_brokers.nats import NatsOptions, NatsSource, NatsTarget
from callboard_brokers.rabbit import RabbitSource, RabbitTarget

METHODS: list[tuple[Callable[..., Any], list[type]]] = [
    (MemoryBroker.subscriber, [MemorySource, SubscriberOptions]),
    (MemoryBroker.publish, [MemoryTarget, PublishOptions]),
    (MemoryBroker.request, [MemoryTarget, PublishOptions]),
    (RabbitBroker.subscriber, [RabbitSource, SubscriberOptions]),
    (RabbitBroker.publish, [RabbitTarget, PublishOptions]),
    (NatsBroker, [NatsOptions]),
    (NatsBroker.subscriber, [NatsSource, SubscriberOptions]),
    (NatsBroker.publish, [NatsTarget, PublishOptions]),
]


@pytest.mark.parametrize(("method", "records"), METHODS)
def test_a_method_shows_the_fields_of_its_records_with_their_defaults(
    method: Callable[..., Any], records: list[type]
) -> None:
    shown = inspect.signature(method).parameters

    for field in (field for record in records for field in _fields(record)):
        if field.default_factory is not MISSING:
            continue  # made for each
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        assert shown[field.name].default == default


def _fields(record: Any) -> tuple[Field[Any], ...]:
    return fields(record)


def test_the_address_may_be_given_by_position_and_options_only_by_name() -> None:
    parameters = inspect.signature(MemoryBroker().subscriber).parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items()}

    assert kinds.pop("address") is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("method", "option"),
    [
        (MemoryBroker, "graceful_timeout: 'float' = 25.0"),
        (MemoryBroker.subscriber, "max_workers: 'int' = 1"),
        (MemoryBroker.publisher, "title: 'str | None' = None"),
        (MemoryBroker.publish, "reply_to: 'str | None' = None"),
        (MemoryBroker.request, "timeout: 'float' = 30.0"),
        (RabbitBroker.subscriber, "exchange: 'str | RabbitExchange | None' = None"),
        (RabbitBroker.request, "timeout: 'float' = 30.0"),
        (NatsBroker.subscriber, "durable: 'str | None' = None"),
        (NatsBroker.request, "timeout: 'float' = 30.0"),
    ],
)
def test_help_shows_the_options(method: object, option: str) -> None:
    assert option in pydoc.plain(pydoc.render_doc(method))
