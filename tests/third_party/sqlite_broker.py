"""The vocabulary of the broker in a file: what its users touch, from public names."""

from __future__ import annotations

from dataclasses import dataclass

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


class SqliteRouter(Router):
    @takes(SqliteSubscriberOptions)
    def subscriber(self, options: SqliteSubscriberOptions) -> Subscriber:
        return self.add_subscriber(part(options, SqliteSource), options)

    @takes(SqlitePublisherOptions)
    def publisher(self, options: SqlitePublisherOptions) -> Publisher[SqliteTarget]:
        return self.add_publisher(part(options, SqliteTarget), options)


class SqliteBroker(Broker[SqliteTarget], SqliteRouter):
    @takes(SqliteBrokerOptions)
    def __init__(self, options: SqliteBrokerOptions) -> None:
        kind = BrokerKind(
            name="sqlite",
            answer=SqliteTarget,
            dead_letter=lambda address, _: SqliteTarget(address),
            routing=SqliteRouting,
        )
        super().__init__(Sqlite(options.path, self.hear), kind, options)

    @sends(SqlitePublishOptions)
    async def publish(self, message: object, options: SqlitePublishOptions) -> None:
        await self.send(message, options, options)
