"""Options of the vocabulary that are left out on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard import DeclarationError
from callboard.command._differences import DIFFERENCES
from callboard.kafka import KafkaBroker, KafkaRouter
from callboard.nats import NatsBroker
from callboard.rabbit import RabbitBroker

LEFT_OUT: list[tuple[Callable[..., Any], str, str]] = [
    (NatsBroker, "NatsBroker", "allow_reconnect"),
    (RabbitBroker, "RabbitBroker", "fail_fast"),
    (NatsBroker, "NatsBroker", "error_cb"),
    (KafkaBroker, "KafkaBroker", "value_serializer"),
    (KafkaBroker, "KafkaBroker", "sasl_mechanism"),
    (RabbitBroker, "RabbitBroker", "underlying_driver_annotations"),
    (KafkaBroker().subscriber, "subscriber", "key_deserializer"),
    (RabbitBroker().publisher, "publisher", "immediate"),
    (KafkaBroker().publisher, "publisher", "autoflush"),
    (KafkaRouter().publisher, "publisher", "autoflush"),
]


@pytest.mark.parametrize(("call", "name", "option"), LEFT_OUT)
def test_what_is_left_out_is_refused_as_it_is_reported(
    call: Callable[..., Any], name: str, option: str
) -> None:
    (reported,) = (each.says for each in DIFFERENCES if (each.call, each.has) == (name, option))

    with pytest.raises(DeclarationError) as refused:
        call(**{option: True})

    assert str(refused.value).endswith(f"; {reported}")
