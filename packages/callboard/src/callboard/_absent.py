"""Names that users of the vocabulary know and that are not here, and what to write instead.

An import of such a module, or of such a name, answers with its line. Whatever is here comes first,
so that a line is never in the way of what has been added.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

_TRACES: Final = "give the broker instruments=[callboard.opentelemetry.Tracing()]"
_METRICS: Final = "give the broker instruments=[callboard.prometheus.Prometheus(registry=...)]"
_WEB: Final = (
    "run brokers in the lifespan of any web framework: `await broker.start()` at its start,"
    " `await broker.stop()` at its end"
)
_CONFIG: Final = "what it says is an option of JStream, or a mapping in one"
_HTML: Final = "write the document by `callboard docs gen`, and show it by a page of AsyncAPI's own"

LINES: Final[Mapping[str, str]] = {
    "callboard.FastStream": "it is callboard.App",
    "callboard.asgi": _WEB,
    "callboard.fastapi": _WEB,
    "callboard.opentelemetry.TelemetryMiddleware": _TRACES,
    "callboard.opentelemetry.TelemetrySettingsProvider": _TRACES,
    "callboard.prometheus.PrometheusMiddleware": _METRICS,
    "callboard.prometheus.ConsumeAttrs": _METRICS,
    "callboard.prometheus.MetricsSettingsProvider": _METRICS,
    "callboard.confluent": "callboard.kafka has the same names, and needs no librdkafka",
    "callboard.mqtt": "no broker of this kind is here; docs/write-an-adapter.md says how to add one",
    "callboard.UnderlyingDriverAnnotation": "annotate with the class itself: it is injected by type",
    "callboard.security.SASLGSSAPI": "Kerberos is not spoken; use SASLScram512 or SASLOAuthBearer",
    "callboard.specification.get_asyncapi_html": _HTML,
    "callboard.kafka.fastapi": _WEB,
    "callboard.kafka.exceptions": (
        "a batch is split where it does not fit, so BatchBufferOverflowException never occurs"
    ),
    "callboard.rabbit.fastapi": _WEB,
    "callboard.rabbit.annotations.Channel": "the client's channel is its own; see Channel(...)",
    "callboard.rabbit.annotations.Connection": "the client's connection is its own",
    "callboard.redis.fastapi": _WEB,
    "callboard.redis.exceptions": (
        "a group that is gone is made again, and no server lacks what is needed, so none of them occurs"
    ),
    "callboard.redis.RedisClusterBroker": "a RedisBroker speaks to one server, and to no cluster",
    "callboard.redis.RedisSentinelBroker": "a RedisBroker speaks to one server, and asks no sentinel",
    "callboard.redis.Redis": "broker.client is the client's own",
    "callboard.redis.Pipeline": "broker.client.pipeline() is the client's own",
    "callboard.redis.annotations.Redis": "broker.client is the client's own",
    "callboard.redis.annotations.Pipeline": "broker.client.pipeline() is the client's own",
    "callboard.redis.StreamGroupNotFoundError": "a group that is gone is made again",
    "callboard.redis.StreamClaimUnsupportedError": "every server that is supported can claim",
    "callboard.redis.RedisBatchStreamMessage": "a batch is a callboard_brokers.BatchMessage",
    "callboard.redis.RedisBatchListMessage": "a batch is a callboard_brokers.BatchMessage",
    "callboard.nats.fastapi": _WEB,
    "callboard.nats.ExternalStream": _CONFIG,
    "callboard.nats.Placement": _CONFIG,
    "callboard.nats.RePublish": _CONFIG,
    "callboard.nats.StreamConfig": _CONFIG,
    "callboard.nats.StreamSource": _CONFIG,
    "callboard.nats.AckPolicy": (
        "messages of a stream are acknowledged one by one; what a handler's end means is"
        " callboard.AckPolicy"
    ),
    "callboard.nats.annotations.Client": "the connection is the broker's own",
    "callboard.nats.annotations.JsClient": "the connection is the broker's own",
    "callboard.nats.annotations.ObjectStorage": "await broker.object_storage(bucket)",
}

_BY_ITSELF: Final = "a lost connection is made again for as long as it takes"
_SECURITY: Final = "say it by security=, as SASLPlaintext(username, password)"
_EVENTS: Final = "what happens is told by broker.events.subscribe(function)"
_BUFFERS: Final = "what waits is bounded by mailbox= of subscribers, and by the server"
_OWN_CLIENT: Final = "the connection is the broker's own, and settles it"


def _each(names: str, line: str) -> Mapping[str, str]:
    """Say *line* of each of *names*: it is to be taken out."""
    return {name: f"{name}= is to be taken out: {line}" for name in names.split()}


_ANY_BROKER: Final = _each(
    "underlying_driver_annotations", "annotate with the class itself, which is injected by type"
)
_PUBLISHED: Final = _each("immediate", "RabbitMQ has known no such messages since 3.0")
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "KafkaBroker": {
        **_ANY_BROKER,
        **_each("key_serializer", "give the key as text or bytes where you publish"),
        **_each("value_serializer", "bodies are encoded by codec="),
        **_each("client_rack", "say it of each subscriber that is to read from near"),
        **_each("consumer_only", "a broker that publishes nothing sends nothing"),
        **_each(
            "transactional_id transaction_timeout_ms",
            "a subscriber with transactional=True has transactions of its own",
        ),
        **_each(
            "security_protocol sasl_mechanism sasl_plain_username sasl_plain_password", _SECURITY
        ),
        **_each(
            "sasl_kerberos_service_name sasl_kerberos_domain_name",
            "Kerberos is not spoken; use SASLScram512 or SASLOAuthBearer",
        ),
        **_each("sasl_oauth_token_provider", "say it by security=SASLOAuthBearer(token)"),
        **_each("loop api_version", _OWN_CLIENT),
    },
    "NatsBroker": {
        **_ANY_BROKER,
        **_each("max_reconnect_attempts reconnect_time_wait allow_reconnect", _BY_ITSELF),
        **_each("error_cb disconnected_cb closed_cb discovered_server_cb reconnected_cb", _EVENTS),
        **_each(
            "pending_size flusher_queue_size flush_timeout max_outstanding_pings verbose pedantic"
            " dont_randomize js_options",
            _OWN_CLIENT,
        ),
        **_each("drain_timeout", "graceful_timeout= is the time for all that is in hand"),
    },
    "RabbitBroker": {
        **_ANY_BROKER,
        **_each("reconnect_interval fail_fast", _BY_ITSELF),
        **_each("ssl_options ssl", "say it by security=BaseSecurity(ssl_context=...)"),
        **_each("max_consumers", "max_workers= of a subscriber says how many handle its messages"),
    },
    "subscriber": {
        **_each("key_deserializer", "message.key is the key as it came, in bytes"),
        **_each("value_deserializer", "give decoder=, or a codec="),
        **_each("consumer_timeout_ms exclude_internal_topics", _OWN_CLIENT),
        **_each("max_msgs", "raise StopConsume when there were enough"),
        **_each("inbox_prefix", "it is an option of the broker"),
    },
    "publisher": {
        **_each("autoflush", "publish returns when Kafka has the message"),
        **_each("content_type", "what is published says it, or its codec="),
        **_PUBLISHED,
    },
    "publish": _PUBLISHED,
    "RabbitResponse": {
        **_each("content_type", "what is published says it, or a codec="),
        **_each("message_id", "each message that follows from another has an id of its own"),
        **_each("reply_to", "say it of the publisher"),
        **_PUBLISHED,
    },
}
"""Options that are left out on purpose, by what is called with them; for errors and for reports."""


def absent(called: str) -> Mapping[str, str]:
    """Return what is said of options that are left out of what is *called* so: its last name."""
    return OPTIONS.get(called.rpartition(".")[2], {})


def tells(names: dict[str, Any]) -> None:
    """Let the module with these *names*, its globals, say of what it lacks what to write instead.

    Put into its globals rather than defined there, it is unseen by type checkers, which would else
    take any name for one that is there. `hasattr` and `getattr` with a default are answered as ever.
    """
    module: str = names["__name__"]

    def ask(name: str) -> Any:
        line = LINES.get(f"{module}.{name}")
        told = f": {line}" if line is not None else ""
        raise AttributeError(f"module {module!r} has no attribute {name!r}{told}")

    names["__getattr__"] = ask
    # What is no attribute of a package is looked for as a module of it, last of all by `_Absent`.
    # Else `from ... import` would forget what the AttributeError says.
    names.setdefault("__path__", [])


class _Absent:
    """Asked last, when no module was found."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find nothing; of what is known, say what to write instead."""
        del path, target
        if (line := LINES.get(fullname)) is not None:
            # Without its name: `from ... import` passes over a module that is missing by name.
            raise ModuleNotFoundError(f"{fullname} is not here: {line}")
        return None


if _Absent not in sys.meta_path:
    sys.meta_path.append(_Absent)
