"""The names by which users of the vocabulary import: each is there, or says what to write instead."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import callboard
from callboard import exceptions, message, middlewares, response
from callboard.annotations import ContextRepo, Logger, NoCast
from callboard.kafka.annotations import KafkaBroker
from callboard.rabbit.annotations import RabbitMessage

NAMES = {
    "callboard": """
        AckPolicy App AsyncAPI BaseMiddleware BatchPublishCommand Context ContextRepo Depends
        ExceptionMiddleware FastStream Header Logger NoCast Path PublishCommand PublishType Response
        SourceType StreamMessage TestApp UnderlyingDriverAnnotation context specification
        apply_types asgi confluent fastapi mqtt opentelemetry prometheus redis
    """,
    "callboard.__main__": "cli",
    "callboard.annotations": "App ContextRepo Logger NoCast",
    "callboard.asgi": """
        AsgiApp AsgiResponse AsyncAPIRoute HttpHandler Request Header Query get post make_ping_asgi
        make_asyncapi_asgi
    """,
    "callboard.asgi.annotations": "Request",
    "callboard.asgi.params": "Header Query",
    "callboard.asgi.types": "ASGIApp Scope Receive Send",
    "callboard.confluent": "KafkaBroker TestKafkaBroker",
    "callboard.context": "Context ContextRepo",
    "callboard.exceptions": """
        AckMessage ContextError FeatureNotSupportedException HandlerException IgnoredException
        IncorrectState NackMessage RejectMessage SetupError SkipMessage StartupValidationError
        StopApplication StopConsume SubscriberNotFound
    """,
    "callboard.kafka": """
        ConsumerRecord KafkaBroker KafkaMessage KafkaPublishCommand KafkaPublishMessage
        KafkaPublisher KafkaResponse KafkaRoute KafkaRouter RecordMetadata TestApp TestKafkaBroker
        Topic TopicPartition
    """,
    "callboard.kafka.annotations": "ContextRepo KafkaBroker KafkaMessage Logger NoCast",
    "callboard.kafka.exceptions": "BatchBufferOverflowException",
    "callboard.kafka.fastapi": "KafkaRouter",
    "callboard.kafka.message": "KafkaMessage",
    "callboard.kafka.opentelemetry": "KafkaTelemetryMiddleware",
    "callboard.kafka.prometheus": "KafkaPrometheusMiddleware",
    "callboard.kafka.response": "KafkaPublishCommand KafkaPublishMessage KafkaResponse",
    "callboard.kafka.schemas": "Topic TopicPartition",
    "callboard.kafka.testing": "TestKafkaBroker",
    "callboard.message": """
        AckStatus SourceType StreamMessage decode_message encode_message gen_cor_id
    """,
    "callboard.middlewares": "AckPolicy BaseMiddleware ExceptionMiddleware",
    "callboard.nats": """
        AckPolicy ConsumerConfig DeliverPolicy DiscardPolicy ExternalStream JStream KvWatch
        NatsBroker NatsCredentials NatsJWT NatsMessage NatsNKey NatsPublishCommand NatsPublisher
        NatsResponse NatsRoute NatsRouter NatsSecurity NatsToken NatsUserPassword ObjWatch Placement
        PubAck PullSub RePublish ReplayPolicy RetentionPolicy Schedule StorageType StreamConfig
        StreamSource TestApp TestNatsBroker
    """,
    "callboard.nats.annotations": """
        Client ContextRepo JsClient Logger NatsBroker NatsMessage NoCast ObjectStorage
    """,
    "callboard.nats.fastapi": "NatsRouter",
    "callboard.nats.message": "NatsMessage",
    "callboard.nats.opentelemetry": "NatsTelemetryMiddleware",
    "callboard.nats.prometheus": "NatsPrometheusMiddleware",
    "callboard.nats.response": "NatsPublishCommand NatsResponse",
    "callboard.nats.schemas": "JStream KvWatch ObjWatch PullSub Schedule",
    "callboard.nats.security": "NatsCredentials NatsJWT NatsNKey NatsToken NatsUserPassword",
    "callboard.nats.testing": "TestNatsBroker",
    "callboard.opentelemetry": """
        Baggage CurrentBaggage CurrentSpan TelemetryMiddleware TelemetrySettingsProvider
    """,
    "callboard.params": "Context Depends Header NoCast Path",
    "callboard.prometheus": "ConsumeAttrs MetricsSettingsProvider PrometheusMiddleware",
    "callboard.rabbit": """
        Channel ExchangeType QueueType RabbitBroker RabbitExchange RabbitExternalAuth RabbitMessage
        RabbitPublishCommand RabbitPublisher RabbitQueue RabbitResponse RabbitRoute RabbitRouter
        TestApp TestRabbitBroker
    """,
    "callboard.rabbit.annotations": """
        Channel Connection ContextRepo Logger NoCast RabbitBroker RabbitMessage
    """,
    "callboard.rabbit.fastapi": "RabbitRouter",
    "callboard.rabbit.message": "RabbitMessage",
    "callboard.rabbit.opentelemetry": "RabbitTelemetryMiddleware",
    "callboard.rabbit.prometheus": "RabbitPrometheusMiddleware",
    "callboard.rabbit.response": "RabbitPublishCommand RabbitResponse",
    "callboard.rabbit.schemas": "RabbitExchange RabbitQueue",
    "callboard.rabbit.testing": "TestRabbitBroker",
    "callboard.redis": """
        BinaryMessageFormatV1 ListSub Pipeline PubSub Redis RedisBatchStreamMessage RedisBroker
        RedisChannelMessage RedisClusterBroker RedisSentinelBroker
        RedisListMessage RedisMessage RedisPublishCommand RedisPublisher RedisResponse RedisRoute
        RedisRouter RedisStreamMessage StreamClaimUnsupportedError StreamGroupNotFoundError
        StreamSub TestApp TestRedisBroker
    """,
    "callboard.redis.annotations": "ContextRepo Logger NoCast Pipeline Redis RedisBroker RedisMessage",
    "callboard.redis.exceptions": "StreamGroupNotFoundError UnreachablePathError",
    "callboard.redis.fastapi": "RedisRouter",
    "callboard.redis.message": "RedisMessage RedisStreamMessage",
    "callboard.redis.opentelemetry": "RedisTelemetryMiddleware",
    "callboard.redis.parser": "BinaryMessageFormatV1 MessageFormat",
    "callboard.redis.prometheus": "RedisPrometheusMiddleware",
    "callboard.redis.response": "RedisPublishCommand RedisResponse",
    "callboard.redis.schemas": "ListSub PubSub StreamSub",
    "callboard.redis.testing": "TestRedisBroker",
    "callboard.response": """
        BatchPublishCommand PublishCommand PublishType Response ensure_response
    """,
    "callboard.security": """
        BaseSecurity SASLGSSAPI SASLOAuthBearer SASLPlaintext SASLScram256 SASLScram512
    """,
    "callboard.specification": """
        AsyncAPI Contact ExternalDocs License Specification Tag get_asyncapi_html
    """,
    "callboard.specification.asyncapi": "AsyncAPI",
    "callboard.types": """
        AnyCallable AsyncFunc AsyncFuncAny BrokerMiddleware DecodedMessage Filter Lifespan
        LoggerProto NoneCallable PublisherMiddleware SendableMessage SettingField
        SubscriberMiddleware
    """,
}


def answer(module: str, name: str) -> str | None:
    """Return what an import of *name* says; None: it is there."""
    try:
        if not hasattr(import_module(module), name):
            import_module(f"{module}.{name}")
    except ImportError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in NAMES.items() for name in names.split()],
)
def test_a_name_is_there_or_says_what_to_write_instead(module: str, name: str) -> None:
    said = answer(module, name)

    assert said is None or (" is not here: " in said and "\n" not in said)


@pytest.mark.parametrize(
    "statement",
    [
        "import callboard.asgi",
        "from callboard import asgi",
        "from callboard.asgi.types import Scope",
        "from callboard.asgi import AsgiApp",
    ],
)
def test_every_way_to_import_a_module_says_the_same(statement: str) -> None:
    with pytest.raises(ImportError, match=r"^callboard.asgi is not here: run brokers in the"):
        exec(statement)  # noqa: S102 - of this very file


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("from callboard.nats import StreamConfig", "what it says is an option of JStream"),
        ("from callboard.nats.annotations import Client", "the connection is the broker's own"),
        ("from callboard.security import SASLGSSAPI", "Kerberos is not spoken"),
    ],
)
def test_an_import_of_a_name_that_is_not_here_says_what_to_write(statement: str, line: str) -> None:
    with pytest.raises(ImportError, match=f" is not here: {line}"):
        exec(statement)  # noqa: S102 - of this very file


def test_whoever_asks_whether_a_name_is_here_is_answered() -> None:
    nats = import_module("callboard.nats")

    assert not hasattr(nats, "StreamConfig")
    assert getattr(nats, "StreamConfig", None) is None
    with pytest.raises(AttributeError, match=r"no attribute 'FastStream': it is callboard\.App"):
        _ = getattr(callboard, "FastStream")  # noqa: B009 - checkers would see it


def test_a_module_that_is_there_comes_before_what_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asgi.py").write_text("here = True")
    monkeypatch.setattr(callboard, "__path__", [*callboard.__path__, str(tmp_path)])

    found: dict[str, Any] = {}
    try:
        exec("from callboard import asgi", found)  # noqa: S102 - of this very file
    finally:
        sys.modules.pop("callboard.asgi", None)
        callboard.__dict__.pop("asgi", None)

    assert found["asgi"].here


def test_a_name_that_nobody_knows_is_unknown_as_ever() -> None:
    with pytest.raises(AttributeError, match="module 'callboard' has no attribute 'Brokker'"):
        _ = getattr(callboard, "Brokker")  # noqa: B009 - checkers would see it
    with pytest.raises(ImportError, match=r"No module named 'callboard.brokker'"):
        import_module("callboard.brokker")


def test_a_door_leads_to_what_is_at_the_root() -> None:
    assert exceptions.AckMessage is callboard.AckMessage
    assert exceptions.IncorrectState is callboard.NotRunning
    assert message.StreamMessage is callboard.Message is callboard.StreamMessage
    assert middlewares.BaseMiddleware is callboard.BaseMiddleware
    assert response.Response is callboard.Response
    assert issubclass(callboard.SetupError, ValueError)
    assert issubclass(callboard.RequestTimeout, TimeoutError)
    assert issubclass(callboard.StopApplication, SystemExit)
    assert issubclass(exceptions.ContextError, KeyError)


def test_both_names_of_no_cast_take_a_type() -> None:
    assert getattr(callboard, "NoCast")[int].__origin__ is int  # noqa: B009 - checkers know the alias only
    assert NoCast[int].__origin__ is int  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] - at run time


def test_bodies_are_encoded_and_decoded_as_on_the_wire() -> None:
    body, content_type = message.encode_message({"a": 1})

    assert (body, content_type) == (b'{"a":1}', "application/json")
    assert message.decode_message(callboard.Message(body, content_type=content_type)) == {"a": 1}
    assert message.gen_cor_id() != message.gen_cor_id()


def test_bare_annotations_of_a_broker_are_injected() -> None:
    taken: list[object] = []
    broker = callboard.MemoryBroker()

    async def handle(
        body: NoCast[int],
        logger: Logger,
        context: ContextRepo,
        own: KafkaBroker,
        received: RabbitMessage,
    ) -> None:
        taken.append((body, logger, context, own, received))

    broker.subscriber("in")(handle)

    assert [call.name for call in broker.subscribers[0].calls] == [
        handle.__qualname__.split(".")[-1]
    ]


@pytest.mark.slow
def test_the_command_line_is_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "callboard", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.startswith("callboard ")
