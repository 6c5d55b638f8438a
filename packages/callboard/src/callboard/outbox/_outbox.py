"""What a program writes messages to, in the same transaction as what they tell of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from callboard._broker import Broker
from callboard._errors import DeclarationError
from callboard.handle._fence import ATTEMPT, Attempt, refuse_late
from callboard.instruments import Output, Send
from callboard.outbox._relay import Relay
from callboard.outbox._row import written
from callboard.outbox._table import Table
from callboard.postgres import Postgres
from callboard.postgres._database import database_of
from callboard.run._services import Service
from callboard_brokers import ARRIVED, Confirmation, Delivery


class Outbox:
    """Keeps messages in a table until *broker* has them; they are there if a transaction is committed.

    While the broker runs, so does a relay, which sends what waits; several share the work, and what
    is ordered by the same text leaves in the order in which it was written. Each message leaves at
    least once: again, if a relay dies, or the database is away, before it is noted as sent.

    Args:
        broker: What the messages leave by. It need not run where they are written.
        database: A `Postgres`, which may be used for more than this, or where it is.
        table: The name of the table, as it is or with its schema. Another one beside it ends in
            `_lanes`.
        relay: Whether this process sends what waits, or only writes.
        create: Whether the relay makes the tables if they are missing.
        keep: Seconds for which is kept what was sent; 0: nothing is.
        lease: Seconds after which others send what a relay that has died would have sent.
        poll: Seconds after which a relay looks for what waits, though nobody has told it.

    Raises:
        DeclarationError: There can be no such outbox.
    """

    def __init__(  # noqa: PLR0913 - options, by name
        self,
        broker: Broker[Any],
        database: Postgres | str,
        *,
        table: str = "callboard_outbox",
        relay: bool = True,
        create: bool = True,
        keep: float = 86_400.0,
        lease: float = 15.0,
        poll: float = 5.0,
    ) -> None:
        for name, value in (("lease", lease), ("poll", poll)):
            if not value > 0:
                raise DeclarationError(f"{name}={value!r} of an Outbox must be seconds, above 0")
        if not keep >= 0:
            raise DeclarationError(f"keep={keep!r} of an Outbox must be seconds, from 0 on")
        self.database = database_of(database)
        self._broker: Any = broker
        self._kind = broker.slot.around.kind
        self._table = Table(self.database, table)
        if relay:
            sending = Relay(self._table, broker.slot.around, lease=lease, keep=keep, poll=poll)
            sending.creates = create
            service = Service(f"outbox({table})", sending.run)
            broker.slot.around.services.append(service)

    @property
    def create_table(self) -> str:
        """The SQL that makes the tables, unless they are there."""
        return self._table.sql

    async def create(self) -> None:
        """Make the tables, unless they are there."""
        await self._table.make()

    async def prune(self, age: float) -> None:
        """Remove what was sent before *age* seconds; the relay does so by itself, once a minute."""
        await self._table.prune(age)

    async def publish(
        self,
        connection: Any,
        message: object,
        *address: Any,
        ordered_by: str | bytes | None = None,
        **options: Any,
    ) -> None:
        """Write *message* in the transaction of *connection*; it leaves when that is committed.

        Args:
            connection: Of `asyncpg`, in a transaction; or an `AsyncConnection` or `AsyncSession` of
                SQLAlchemy, on asyncpg.
            message: What is published, encoded now.
            address: Where, as the broker's `publish` takes it.
            ordered_by: What leaves in the order in which it was written has the same here; None: as
                its key says, if it has one.
            options: Whatever else the broker's `publish` takes.

        Raises:
            DeclarationError: The broker could not publish it so, or it can't be written.
        """
        for output in await self._made(message, address, options):
            await self._table.write(connection, written(output, ordered_by, self._kind))

    async def _made(
        self, message: object, address: Sequence[Any], options: dict[str, Any]
    ) -> Sequence[Output]:
        """Let the broker make of *message* what it would send, middlewares and all."""
        made: list[Output] = []

        async def keep(outputs: Sequence[Output], cause: Delivery | None) -> Confirmation:
            del cause
            made.extend(outputs)
            return ARRIVED

        def divert(_: Callable[[], Send]) -> Send:
            return keep

        refuse_late(ATTEMPT.get())
        attempt = Attempt()
        attempt.diverts = divert
        before = ATTEMPT.set(attempt)
        try:
            await self._broker.publish(message, *address, **options)
        finally:
            ATTEMPT.reset(before)
        return made
