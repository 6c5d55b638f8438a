"""What is said of a wrong option, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard import (
    App,
    AsyncAPI,
    DeclarationError,
    Depends,
    MemoryBroker,
    Response,
    TestApp,
    TestBroker,
)
from callboard.kafka import KafkaBroker, KafkaRouter
from callboard.nats import JStream, NatsBroker, ObjWatch
from callboard.rabbit import RabbitExchange, RabbitQueue, RabbitResponse

broker: Any = MemoryBroker()
WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: _any(App)(broker, lifspan=1), "do you mean 'lifespan'?"),
    (lambda: _any(TestBroker)(broker, conect_only=1), "do you mean 'connect_only'?"),
    (lambda: _any(TestApp)(App(broker), run_options={}), "do you mean 'run_extra_options'?"),
    (lambda: _any(AsyncAPI)(broker, titel="x"), "do you mean 'title'?"),
    (lambda: _any(Response)(1, header={}), "do you mean 'headers'?"),
    (lambda: _any(RabbitQueue)("q", durabel=True), "do you mean 'durable'?"),
    (lambda: _any(JStream)("s", subject=[]), "do you mean 'subjects'?"),
    (lambda: broker.include_router(broker, prefx="x"), "do you mean 'prefix'?"),
    (lambda: _any(KafkaBroker()).publish_batch(1, topc="x"), "do you mean 'topic'?"),
    (lambda: _any(RabbitQueue)("q", robust=True), "robust= is to be taken out"),
    (lambda: _any(RabbitExchange)("e", passive=True), "passive=True is declare=False"),
    (lambda: _any(RabbitResponse)(1, immediate=True), "RabbitMQ has known no such messages"),
    (lambda: _any(ObjWatch)(meta_only=True), "meta_only= is to be taken out"),
]


def _any(made: Any) -> Any:
    """Hide from checkers what is wrong."""
    return made


@pytest.mark.parametrize(("call", "says"), WRONG)
def test_the_nearest_name_is_told_or_what_to_write_instead(
    call: Callable[[], object], says: str
) -> None:
    with pytest.raises(TypeError) as refused:
        call()

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("owner", [MemoryBroker, KafkaRouter, NatsBroker])
def test_a_dependency_that_was_called_already_is_refused_where_it_is_declared(owner: Any) -> None:
    said = (
        r"dependencies of a \w+ \(test_wrong_options\.py:\d+\) hold Depends\(7\); write Depends\(f"
    )

    with pytest.raises(DeclarationError, match=said):
        owner(dependencies=[Depends(_any(7))])


def test_an_application_is_given_brokers_and_says_where_it_is_not() -> None:
    with pytest.raises(
        DeclarationError, match=r"test_wrong_options\.py:\d+ is given 'kafka', which"
    ):
        App(_any("kafka"))


def test_what_users_meet_says_what_it_is() -> None:
    app = App(broker)
    shown = [
        repr(each)
        for each in (app, TestApp(app), TestBroker(broker), app.context, app.provider, app.schema)
    ]

    assert not [each for each in shown if " object at 0x" in each]
    assert shown[2] == "<TestBroker of <MemoryBroker>>"
    assert shown[4] == "<Overrides by nothing>"
