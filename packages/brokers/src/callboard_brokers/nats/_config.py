"""What streams, consumers and connections are like; no client is needed for these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import lru_cache
from ssl import SSLContext
from typing import Any, Final, Literal, TypeAlias

from callboard_brokers._errors import DestinationError
from callboard_brokers.kit import hinted
from callboard_brokers.nats._subject import check_subject

DeliverPolicy: TypeAlias = Literal[
    "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"
]
_SCHEMES: Final = {"", "nats", "tls", "ws", "wss"}
SECONDS: Final = {
    "ack_wait",
    "backoff",
    "duplicate_window",
    "idle_heartbeat",
    "inactive_threshold",
    "max_age",
}
"""What the server counts in nanoseconds."""


@hinted()
@dataclass(frozen=True, kw_only=True, slots=True)
class ConsumerConfig:
    """How a stream keeps account of one group of readers; None leaves it to the server.

    Times are in seconds. Messages are always acknowledged one by one.
    """

    name: str | None = None
    durable_name: str | None = None
    description: str | None = None
    deliver_policy: DeliverPolicy | None = None
    opt_start_seq: int | None = None
    opt_start_time: datetime | None = None
    ack_wait: float | None = None
    max_deliver: int | None = None
    backoff: Sequence[float] | None = None
    """Seconds after which a message that is never settled comes again, in place of `ack_wait`."""
    filter_subject: str | None = None
    filter_subjects: Sequence[str] | None = None
    replay_policy: Literal["instant", "original"] | None = None
    rate_limit_bps: int | None = None
    sample_freq: str | None = None
    max_waiting: int | None = None
    max_ack_pending: int | None = None
    flow_control: bool | None = None
    idle_heartbeat: float | None = None
    headers_only: bool | None = None
    deliver_subject: str | None = None
    deliver_group: str | None = None
    inactive_threshold: float | None = None
    num_replicas: int | None = None
    mem_storage: bool | None = None
    metadata: Mapping[str, str] | None = None


@hinted()
@dataclass(frozen=True, slots=True)
class JStream:
    """A stream; made if it is missing, and given the subjects it lacks, if *declare* is true.

    Its subjects are those named here and those of all that reads and publishes there.
    Times are in seconds; None leaves an option to the server.
    """

    name: str
    subjects: Sequence[str] = ()
    declare: bool = field(default=True, kw_only=True)
    description: str | None = field(default=None, kw_only=True)
    retention: Literal["limits", "interest", "workqueue"] | None = field(default=None, kw_only=True)
    max_consumers: int | None = field(default=None, kw_only=True)
    max_msgs: int | None = field(default=None, kw_only=True)
    max_bytes: int | None = field(default=None, kw_only=True)
    max_age: float | None = field(default=None, kw_only=True)
    max_msgs_per_subject: int | None = field(default=None, kw_only=True)
    max_msg_size: int | None = field(default=None, kw_only=True)
    discard: Literal["old", "new"] | None = field(default=None, kw_only=True)
    storage: Literal["file", "memory"] | None = field(default=None, kw_only=True)
    num_replicas: int | None = field(default=None, kw_only=True)
    no_ack: bool | None = field(default=None, kw_only=True)
    duplicate_window: float | None = field(default=None, kw_only=True)
    deny_delete: bool | None = field(default=None, kw_only=True)
    deny_purge: bool | None = field(default=None, kw_only=True)
    allow_rollup_hdrs: bool | None = field(default=None, kw_only=True)
    allow_direct: bool | None = field(default=None, kw_only=True)
    allow_msg_ttl: bool | None = field(default=None, kw_only=True)
    allow_msg_schedules: bool | None = field(default=None, kw_only=True)
    compression: Literal["none", "s2"] | None = field(default=None, kw_only=True)
    placement: Mapping[str, Any] | None = field(default=None, kw_only=True)
    mirror: Mapping[str, Any] | None = field(default=None, kw_only=True)
    sources: Sequence[Mapping[str, Any]] | None = field(default=None, kw_only=True)
    metadata: Mapping[str, str] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_name(self.name, "stream")
        for subject in self.subjects:
            check_subject(subject, wild=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsOptions:
    """How to speak to the servers; times are in seconds."""

    name: str = "callboard"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | Callable[[], str] | None = field(default=None, repr=False)
    nkeys_seed: str | None = None
    """The file with the seed of a key."""
    nkeys_seed_str: str | None = field(default=None, repr=False)
    user_credentials: str | tuple[str, str] | None = None
    """The file with a token and a seed, or one for each; read whenever a connection is made."""
    user_credentials_str: str | None = field(default=None, repr=False)
    """What stands in such a file."""
    user_jwt_cb: Callable[[], bytes] | None = field(default=None, repr=False)
    signature_cb: Callable[[str], bytes] | None = field(default=None, repr=False)
    """Signs what the server sends, in base 64."""
    tls: SSLContext | None = field(default=None, repr=False)
    """Speak TLS, or not at all."""
    tls_hostname: str | None = None
    tls_handshake_first: bool = False
    connect_timeout: float = 2.0
    ping_interval: float = 10.0
    """A server that is silent is noticed after two to three of these."""
    no_echo: bool = False
    inbox_prefix: str = "_INBOX"
    domain: str | None = None
    """The domain of JetStream, where that is not the server's own."""
    api_timeout: float = 5.0
    """How long to wait for an answer about streams and consumers."""


def addresses_of(servers: str | Sequence[str]) -> list[str]:
    """Return the addresses of *servers*, of which a text may have several, with commas between them.

    Raises:
        DestinationError: One of them is no address of a NATS.
    """
    addresses = servers.split(",") if isinstance(servers, str) else [*servers]
    for each in addresses:
        scheme, _, host = each.strip().rpartition("://")
        if scheme not in _SCHEMES or not host.rpartition("@")[2]:
            raise DestinationError(
                "the address of a NATS is nats://user:password@host:4222, or tls: with TLS; this one"
                f" begins with {scheme or '://'!r}"
            )
    return addresses


def kv_stream(bucket: str, *, declare: bool = True) -> JStream:
    """Return the stream of a bucket of keys and values, as all clients make it."""
    made = JStream(f"KV_{bucket}", [f"$KV.{bucket}.>"], declare=declare, allow_rollup_hdrs=True)
    return replace(made, discard="new", allow_direct=True, deny_delete=True, max_msgs_per_subject=1)


def object_stream(bucket: str, *, declare: bool = True) -> JStream:
    """Return the stream of a bucket of objects, as all clients make it."""
    subjects = [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"]
    made = JStream(f"OBJ_{bucket}", subjects, declare=declare, allow_rollup_hdrs=True)
    return replace(made, discard="new", allow_direct=True)


def said(config: JStream | ConsumerConfig) -> dict[str, Any]:
    """Return what *config* says, in the words and units of the server."""
    words: dict[str, Any] = {}
    for each in fields(config):
        value: Any = getattr(config, each.name)
        if value is None or each.name == "declare":
            continue
        if each.name in SECONDS:
            value = [_nanos(n) for n in value] if each.name == "backoff" else _nanos(value)
        elif isinstance(value, datetime):
            value = timestamp(value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = list[Any](value)  # pyright: ignore[reportUnknownArgumentType] - of a field
        words[each.name] = value
    return words


def timestamp(time: datetime) -> str:
    """Return *time* as the server reads it; without a zone it is of this machine's."""
    return time.astimezone().isoformat()


@lru_cache(4096)
def check_name(name: str, what: str) -> None:
    """Refuse a name that no server would take; *what* it is the name of.

    Raises:
        DestinationError: It is none.
    """
    if not name or not name.isprintable() or set(name) & set(" .*>/\\"):
        raise DestinationError(
            f"{name!r} cannot be the name of a {what}: leave out blanks, dots, '*', '>', '/', '\\'"
        )


def _nanos(seconds: float) -> int:
    return round(seconds * 1e9)
