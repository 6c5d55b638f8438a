"""How a document is put together out of descriptors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callboard_asyncapi import (
    Channel,
    Contact,
    DescriptorError,
    ExternalDocs,
    Info,
    License,
    Message,
    Operation,
    Parameter,
    Reply,
    Server,
    Tag,
    document,
)

Json = dict[str, Any]
Official = Callable[[Json], Json]
Write = Callable[..., Json]

INFO = Info(title="Shop", version="1")
ORDER = {"type": "object", "title": "Order", "properties": {"id": {"type": "integer"}}}


def test_an_application_without_channels_has_a_valid_document(official: Official) -> None:
    written = official(document(INFO))

    assert written == {
        "asyncapi": "3.0.0",
        "defaultContentType": "application/json",
        "info": {"title": "Shop", "version": "1"},
        "servers": {},
        "channels": {},
        "operations": {},
        "components": {"messages": {}, "schemas": {}},
    }


def test_what_is_said_of_the_application_stands_in_its_info(official: Official) -> None:
    info = Info(
        title="Shop",
        version="1",
        identifier="urn:example:shop",
        terms_of_service="https://example.com/terms",
        contact=Contact(name="Ann", email="ann@example.com"),
        license=License(name="MIT"),
        tags=[Tag(name="sales", external_docs=ExternalDocs(url="https://example.com/sales"))],
    )

    written = official(document(info))

    assert written["id"] == "urn:example:shop"
    assert written["info"] == {
        "title": "Shop",
        "version": "1",
        "termsOfService": "https://example.com/terms",
        "contact": {"name": "Ann", "email": "ann@example.com"},
        "license": {"name": "MIT"},
        "tags": [{"name": "sales", "externalDocs": {"url": "https://example.com/sales"}}],
    }


def test_a_channel_gives_its_key_to_all_that_belongs_to_it(write: Write) -> None:
    written = write(Message(payload={"type": "integer"}))

    assert written["channels"] == {
        "orders:OnOrder": {
            "address": "orders",
            "messages": {"Message": {"$ref": "#/components/messages/orders:OnOrder:Message"}},
        }
    }
    assert written["operations"] == {
        "orders:OnOrderSubscribe": {
            "action": "receive",
            "channel": {"$ref": "#/channels/orders:OnOrder"},
            "messages": [{"$ref": "#/channels/orders:OnOrder/messages/Message"}],
        }
    }
    assert written["components"] == {
        "messages": {
            "orders:OnOrder:Message": {
                "title": "orders:OnOrder:Message",
                "payload": {"$ref": "#/components/schemas/orders:OnOrder:Message:Payload"},
            }
        },
        "schemas": {"orders:OnOrder:Message:Payload": {"type": "integer"}},
    }


def test_a_channel_of_several_messages_names_each(official: Official) -> None:
    messages = [Message(name="Order", payload=ORDER), Message(name="Text")]
    channel = Channel(address="orders", messages=messages)

    written = official(document(INFO, channels=[channel]))

    assert written["channels"]["orders"]["messages"] == {
        "Order": {"$ref": "#/components/messages/orders:Order"},
        "Text": {"$ref": "#/components/messages/orders:Text"},
    }


def test_a_message_with_one_of_several_bodies_refers_to_each_once(write: Write) -> None:
    written = write(Message(payload=[ORDER, {"type": "string"}, ORDER]))

    assert written["components"]["messages"]["orders:OnOrder:Message"]["payload"] == {
        "oneOf": [
            {"$ref": "#/components/schemas/Order"},
            {"$ref": "#/components/schemas/orders:OnOrder:Message:Payload"},
        ]
    }


def test_a_template_keeps_its_braces_in_keys_and_references(official: Official) -> None:
    channel = Channel(
        address="logs/{level}/{app}", key="logs/{level}/{app}:Keep", messages=[Message()]
    )

    written = official(document(INFO, operations=[Operation(action="receive", channel=channel)]))

    [(key, entry)] = written["channels"].items()
    assert key == "logs.{level}.{app}:Keep"
    assert entry["address"] == "logs/{level}/{app}"
    assert entry["parameters"] == {"level": {}, "app": {}}
    assert written["operations"][f"{key}Subscribe"]["channel"] == {
        "$ref": "#/channels/logs.%7Blevel%7D.%7Bapp%7D:Keep"
    }


@pytest.mark.parametrize("address", ["a b", "{x}[1]", "%7B", "~1~0", 'ä#?|^`<>"\\', "a~b/c"])
def test_references_are_uris_whatever_an_address_is_called(
    official: Official, address: str
) -> None:
    server = Server(host="localhost", protocol="x", name="a/b~{c} d%")
    channel = Channel(address=address, messages=[Message()], servers=[server])
    operation = Operation(action="receive", channel=channel, reply=Reply(messages=[Message()]))

    official(document(INFO, operations=[operation]))


def test_a_parameter_may_be_described(official: Official) -> None:
    level = Parameter(description="How bad it is", enum=["info", "error"], default="info")
    channel = Channel(address="logs.{level}.{app}", parameters={"level": level})

    written = official(document(INFO, channels=[channel]))

    assert written["channels"]["logs.{level}.{app}"]["parameters"] == {
        "level": {"description": "How bad it is", "enum": ["info", "error"], "default": "info"},
        "app": {},
    }


def test_a_parameter_that_is_not_in_the_address_is_refused() -> None:
    with pytest.raises(DescriptorError, match=r"'logs.{level}' describes .*\['app'\]"):
        Channel(address="logs.{level}", parameters={"app": Parameter()})


@pytest.mark.parametrize(
    "address", ["a b", "naïve", "50%", "#", "a~1b", "[x]", "x\\y", "?", "\n", ""]
)
def test_no_address_makes_a_key_that_its_references_miss(address: str, official: Official) -> None:
    channel = Channel(address=address, messages=[Message(payload={})])

    written = official(document(INFO, operations=[Operation(action="send", channel=channel)]))

    assert [each["address"] for each in written["channels"].values()] == [address]
    assert "%" not in "".join(written["channels"])


def test_a_request_says_where_its_reply_goes(write: Write) -> None:
    reply = Reply(messages=[Message(payload={"type": "string"})])

    written = write(Message(correlation_id="$message.header#/correlation_id"), reply=reply)

    assert written["channels"]["orders:OnOrder:Reply"]["address"] is None
    assert written["operations"]["orders:OnOrderSubscribe"]["reply"] == {
        "address": {"location": "$message.header#/reply_to"},
        "channel": {"$ref": "#/channels/orders:OnOrder:Reply"},
        "messages": [{"$ref": "#/channels/orders:OnOrder:Reply/messages/Message"}],
    }
    assert written["components"]["messages"]["orders:OnOrder:Message"] == {
        "title": "orders:OnOrder:Message",
        "correlationId": {"location": "$message.header#/correlation_id"},
    }


def test_the_only_server_is_called_development(official: Official) -> None:
    server = Server.from_url("nats://localhost:4222")

    written = official(document(INFO, [server, server]))

    assert written["servers"] == {"development": {"host": "localhost:4222", "protocol": "nats"}}


def test_several_servers_are_numbered_and_channels_say_which_they_are_on(
    official: Official,
) -> None:
    here, there = Server(host="a", protocol="kafka"), Server(host="b", protocol="kafka")
    channel = Channel(address="orders", servers=[there])

    written = official(document(INFO, [here], [channel]))

    assert list(written["servers"]) == ["Server1", "Server2"]
    assert written["channels"]["orders"]["servers"] == [{"$ref": "#/servers/Server2"}]


def test_a_server_may_have_a_name_and_a_security_scheme(official: Official) -> None:
    server = Server(
        host="a", protocol="kafka", name="production", security={"scram": {"type": "scramSha512"}}
    )

    written = official(document(INFO, [server]))

    assert written["servers"]["production"]["security"] == [
        {"$ref": "#/components/securitySchemes/scram"}
    ]
    assert written["components"]["securitySchemes"] == {"scram": {"type": "scramSha512"}}


def test_a_publisher_that_is_declared_twice_is_one_channel(official: Official) -> None:
    channels = [Channel(address="orders", messages=[Message(payload=ORDER)]) for _ in range(2)]

    written = official(document(INFO, channels=channels))

    assert list(written["channels"]) == ["orders"]
    assert list(written["components"]["messages"]) == ["orders:Message"]


def test_two_channels_of_one_key_get_two_keys(official: Official) -> None:
    channels = [
        Channel(address="orders", key="orders:Handle", messages=[Message(payload={"type": kind})])
        for kind in ("string", "integer")
    ]

    written = official(document(INFO, channels=channels))

    assert list(written["channels"]) == ["orders:Handle", "orders:Handle-2"]
    assert written["channels"]["orders:Handle-2"]["messages"] == {
        "Message": {"$ref": "#/components/messages/orders:Handle:Message-2"}
    }


@given(st.lists(st.tuples(st.sampled_from("ab/."), st.sampled_from("xy")), max_size=8))
def test_everything_stands_in_the_order_of_registration(ends: list[tuple[str, str]]) -> None:
    operations = [
        Operation(action="send", channel=Channel(address=address, key=f"{address}:{handler}"))
        for address, handler in ends
    ]

    written = document(INFO, operations=operations)

    given_order = list(dict.fromkeys((address, handler) for address, handler in ends))
    assert [each["address"] for each in written["channels"].values()] == [
        address for address, _ in given_order
    ]
    assert len(written["operations"]) == len(given_order)
    assert document(INFO, operations=operations) == written


def test_what_may_be_said_of_anything_is_shown(official: Official) -> None:
    said: Json = {
        "title": "T",
        "summary": "S",
        "description": "D",
        "tags": [Tag(name="t")],
        "external_docs": ExternalDocs(url="https://example.com"),
        "bindings": {"kafka": {"bindingVersion": "0.5.0"}},
    }
    message = Message(**said)
    channel = Channel(address="orders", messages=[message], **said)
    operation = Operation(action="send", channel=channel, **said)

    written = official(
        document(INFO, [Server(host="h", protocol="kafka", **said)], [], [operation])
    )

    shown = {**said, "tags": [{"name": "t"}], "externalDocs": {"url": "https://example.com"}}
    del shown["external_docs"]
    assert written["servers"]["development"].items() >= shown.items()
    assert written["channels"]["orders"].items() >= shown.items()
    assert written["operations"]["orders"].items() >= shown.items()
    assert written["components"]["messages"]["orders:Message"].items() >= shown.items()
