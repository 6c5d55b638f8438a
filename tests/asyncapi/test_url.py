"""What of a server's URL is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_asyncapi import DescriptorError, Info, Server, document, to_json


@pytest.mark.parametrize(
    ("url", "host", "pathname"),
    [
        ("amqp://guest:guest@localhost:5672/", "localhost:5672", None),
        ("amqps://u:p@rabbit/shop", "rabbit", "/shop"),
        ("redis://:p@localhost:6379/0?password=q&health_check_interval=2", "localhost:6379", "/0"),
        ("nats://token@[::1]:4222", "[::1]:4222", None),
        ("kafka://a:9092,b:9092", "a:9092,b:9092", None),
        ("mqtt://u:p@ss@h", "h", None),
    ],
)
def test_host_and_path_are_shown(url: str, host: str, pathname: str | None) -> None:
    server = Server.from_url(url)

    assert (server.host, server.pathname) == (host, pathname)
    assert server.protocol == url.partition(":")[0]


def test_a_bare_address_needs_a_protocol() -> None:
    assert Server.from_url("localhost:9092", protocol="kafka").host == "localhost:9092"

    with pytest.raises(DescriptorError, match="needs a protocol and a host, has '' and 'localhost"):
        Server.from_url("localhost:9092")


def test_a_protocol_that_is_given_replaces_the_scheme() -> None:
    assert Server.from_url("rediss://h", protocol="redis").protocol == "redis"


def test_a_url_that_cannot_be_read_is_not_repeated() -> None:
    with pytest.raises(DescriptorError) as caught:
        Server.from_url("amqp://user:secret[@host")

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_host_with_a_user_is_refused() -> None:
    with pytest.raises(DescriptorError, match=r"Server\.from_url"):
        Server(host="user:secret@host", protocol="amqp")


@given(
    st.text(min_size=1).map(lambda text: f"§{text}§"),
    st.sampled_from(["", "?password=", "?a=1&token="]),
)
def test_no_secret_is_shown_however_it_is_written(secret: str, query: str) -> None:
    url = f"amqp://user:{secret}@host/v{query}{secret if query else ''}"

    try:
        shown = to_json(document(Info(title="Shop", version="1"), [Server.from_url(url)]))
    except DescriptorError as error:
        shown = str(error)

    assert "§" not in shown
