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

_INSTRUMENT: Final = (
    "give the broker instruments=[...], objects of a class that is derived from"
    " callboard.instruments.Instrument"
)
_METRICS: Final = "give the broker instruments=[callboard.prometheus.Prometheus(registry=...)]"
_WEB: Final = (
    "run brokers in the lifespan of any web framework: `await broker.start()` at its start,"
    " `await broker.stop()` at its end"
)
_TEXT: Final = "policies of NATS are plain text, as the server has them: deliver_policy='new'"
_CONFIG: Final = "what it says is an option of JStream, or a mapping in one"
_HTML: Final = "write the document by `callboard docs gen`, and show it by a page of AsyncAPI's own"

LINES: Final[Mapping[str, str]] = {
    "callboard.FastStream": "it is callboard.App",
    "callboard.asgi": _WEB,
    "callboard.fastapi": _WEB,
    "callboard.opentelemetry": _INSTRUMENT,
    "callboard.prometheus.PrometheusMiddleware": _METRICS,
    "callboard.prometheus.ConsumeAttrs": _METRICS,
    "callboard.prometheus.MetricsSettingsProvider": _METRICS,
    "callboard.confluent": "callboard.kafka has the same names, and needs no librdkafka",
    "callboard.mqtt": "no broker of this kind is here; docs/write-an-adapter.md says how to add one",
    "callboard.redis": "no broker of this kind is here; docs/write-an-adapter.md says how to add one",
    "callboard.UnderlyingDriverAnnotation": "annotate with the class itself: it is injected by type",
    "callboard.security.SASLGSSAPI": "Kerberos is not spoken; use SASLScram512 or SASLOAuthBearer",
    "callboard.specification.get_asyncapi_html": _HTML,
    "callboard.kafka.fastapi": _WEB,
    "callboard.kafka.opentelemetry": _INSTRUMENT,
    "callboard.kafka.prometheus": _METRICS,
    "callboard.kafka.exceptions": (
        "a batch is split where it does not fit, so BatchBufferOverflowException never occurs"
    ),
    "callboard.rabbit.fastapi": _WEB,
    "callboard.rabbit.opentelemetry": _INSTRUMENT,
    "callboard.rabbit.prometheus": _METRICS,
    "callboard.rabbit.annotations.Channel": "the client's channel is its own; see Channel(...)",
    "callboard.rabbit.annotations.Connection": "the client's connection is its own",
    "callboard.nats.fastapi": _WEB,
    "callboard.nats.opentelemetry": _INSTRUMENT,
    "callboard.nats.prometheus": _METRICS,
    "callboard.nats.DeliverPolicy": _TEXT,
    "callboard.nats.DiscardPolicy": _TEXT,
    "callboard.nats.ReplayPolicy": _TEXT,
    "callboard.nats.RetentionPolicy": _TEXT,
    "callboard.nats.StorageType": _TEXT,
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

_RECONNECTED: Final = "is to be taken out: a lost connection is made again for as long as it takes"
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "NatsBroker": {
        name: f"{name}= {_RECONNECTED}"
        for name in ("max_reconnect_attempts", "reconnect_time_wait", "allow_reconnect")
    },
    "RabbitBroker": {
        name: f"{name}= {_RECONNECTED}" for name in ("reconnect_interval", "fail_fast")
    },
    "publisher": {
        "autoflush": "autoflush= is to be taken out: publish returns when Kafka has the message"
    },
}
"""Options that are left out on purpose, by what is called with them; for errors and for reports."""


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
