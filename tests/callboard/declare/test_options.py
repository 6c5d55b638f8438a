"""What a subscriber is told, and what it inherits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard import AckPolicy, DeclarationError, MemoryBroker, Supervision
from callboard.declare._options import UNSET, Inherited, SubscriberOptions, resolve

VALUES = {
    "ack_policy": [UNSET, *AckPolicy],
    "dead_letter": [UNSET, None, "dead", "{address}.dead"],
    "supervision": [UNSET, Supervision(intensity=1), Supervision(intensity=2)],
}
LAYERS = st.lists(
    st.builds(SubscriberOptions, **{name: st.sampled_from(v) for name, v in VALUES.items()}),
    max_size=4,
)


@given(layers=LAYERS)
def test_the_nearest_layer_that_says_something_wins(layers: list[SubscriberOptions]) -> None:
    resolved, default = resolve(*layers), Inherited()

    for name in VALUES:
        said = [value for layer in layers if (value := getattr(layer, name)) is not UNSET]
        assert getattr(resolved, name) == (said[0] if said else getattr(default, name))


def test_by_default_a_failed_message_is_rejected() -> None:
    assert resolve() == Inherited(ack_policy=AckPolicy.REJECT_ON_ERROR, dead_letter=None)


def test_what_is_not_set_says_so() -> None:
    assert repr(SubscriberOptions().ack_policy) == "UNSET"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_workers": 0},
            "max_workers=0 of a subscriber must be a whole number, at least 1",
        ),
        (
            {"mailbox": "9"},
            "mailbox='9' of a subscriber must be a whole number, at least 1",
        ),
        (
            {"ordered_by": "keys"},
            "ordered_by='keys' of a subscriber must be 'key', 'partition', 'none' or a function of the message",
        ),
        (
            {"ack_policy": "nack"},
            (
                "ack_policy='nack' of a subscriber must be an AckPolicy: ACK_FIRST, ACK,"
                " REJECT_ON_ERROR, NACK_ON_ERROR, MANUAL"
            ),
        ),
        (
            {"supervision": 5},
            "supervision=5 of a subscriber must be a Supervision(intensity, period)",
        ),
        (
            {"dead_letter": "{adress}.dead"},
            (
                "dead_letter='{adress}.dead' of a subscriber is no address; the only thing in"
                " braces that may stand in it is {address}, for where the message came from"
            ),
        ),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_where_it_is_given(
    broker: MemoryBroker, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        broker.subscriber("orders", **options)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    "options",
    [
        {"ack_policy": "nack"},
        {"dead_letter": ""},
        {"supervision": 5},
        {"middlewares": print},
        {"dependencies": iter([1])},
    ],
    ids=lambda options: "".join(options),
)
def test_so_is_an_option_of_a_broker(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="of a broker"):
        MemoryBroker(**options)
