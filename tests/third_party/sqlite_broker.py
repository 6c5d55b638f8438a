"""The vocabulary of the broker in a file: what its users touch, from public names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from callboard import Broker, Publisher, Router, Subscriber
from callboard.extending import (
    BrokerKind,
    BrokerOptions,
    PublisherOptions,
    PublishOptions,
    SubscriberOptions,
    part,
    sends,
    takes,
)
from callboard_brokers.kit import Template
from callboard_brokers.memory import MemoryTarget, Readership

from .sqlite_adapter import Sqlite, SqliteSource, SqliteTarget

__all__ = ["SqliteBroker", "SqliteRouter"]


@dataclass(frozen=True, kw_only=True)
class SqliteBrokerOptions(BrokerOptions):
    path: str


@dataclass(frozen=True)
class SqliteSubscriberOptions(SubscriberOptions, SqliteSource):
    """A queue, and how its messages are handled."""


@dataclass(frozen=True)
class SqlitePublisherOptions(PublisherOptions, SqliteTarget):
    """A queue that results are published to."""


@dataclass(frozen=True)
class SqlitePublishOptions(PublishOptions, SqliteTarget):
    """A queue, and what travels beside the body."""


class SqliteRouting:
    """The rules by which the broker in memory stands in for it."""

    def source(self, source: SqliteSource, /) -> Readership:
        return Readership(source.group, source, Template(source.address).match)

    def target(self, target: SqliteTarget, /) -> MemoryTarget:
        return MemoryTarget(target.address)


SQLITE = BrokerKind(
    name="sqlite",
    answer=SqliteTarget,
    dead_letter=lambda address, _: SqliteTarget(address),
    routing=SqliteRouting,
)


class SqliteRouter(Router, kind=SQLITE):
    @takes(SqliteSubscriberOptions)
    def subscriber(self, options: SqliteSubscriberOptions) -> Subscriber:
        return self.declared.subscriber(part(options, SqliteSource), options)

    @takes(SqlitePublisherOptions)
    def publisher(self, options: SqlitePublisherOptions) -> Publisher[SqliteTarget]:
        return self.declared.publisher(part(options, SqliteTarget), options)


class SqliteBroker(Broker[SqliteTarget], SqliteRouter):
    @takes(SqliteBrokerOptions)
    def __init__(self, options: SqliteBrokerOptions) -> None:
        super().__init__(partial(Sqlite, options.path), options)

    @sends(SqlitePublishOptions)
    async def publish(self, message: object, options: SqlitePublishOptions) -> None:
        await self.out.publish(message, options, options)
