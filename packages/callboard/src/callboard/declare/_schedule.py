"""At which times something is to be done: by an expression of cron, or every so many seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from callboard._errors import DeclarationError
from callboard_brokers.kit import needing

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO: Final = timedelta(microseconds=1)


class Times(Protocol):
    """Moments, which are the same for whoever asks."""

    def after(self, moment: datetime, /) -> datetime:
        """Return the first one after *moment*."""
        ...

    def latest(self, due: datetime, now: datetime, /) -> datetime:
        """Return the last one up to *now*, of those from *due* on, which is one."""
        ...


class Every:
    """Every so many seconds, counted from 1970 on, so that all processes mean the same moments."""

    def __init__(self, seconds: float) -> None:
        self._period = round(seconds * 1_000_000)

    def after(self, moment: datetime, /) -> datetime:
        return self._at((moment - _EPOCH) // _MICRO // self._period + 1)

    def latest(self, due: datetime, now: datetime, /) -> datetime:
        del due
        return self._at((now - _EPOCH) // _MICRO // self._period)

    def _at(self, count: int) -> datetime:
        return _EPOCH + timedelta(microseconds=count * self._period)


class Cron:
    """As an expression of cron says, on the clocks of a time zone."""

    def __init__(self, expression: str, timezone: ZoneInfo) -> None:
        with needing("a schedule by cron", "callboard[cron]"):
            from cronsim import CronSim  # noqa: PLC0415 - only who says one needs it
        self._expression, self._timezone = expression, timezone
        self._times: Any = CronSim
        self.after(datetime.now(UTC))

    def after(self, moment: datetime, /) -> datetime:
        # Where clocks are put back, what it finds first may be in the hour before.
        found = self._times(self._expression, moment.astimezone(self._timezone))
        return next(each for each in map(_in_utc, found) if each > moment)

    def latest(self, due: datetime, now: datetime, /) -> datetime:
        while (following := self.after(due)) <= now:
            due = following
        return due


def times_of(
    cron: str | None, every: float | timedelta | None, timezone: str | None, called: str
) -> Times:
    """Return the moments that a schedule is told, which is *called* so.

    Raises:
        DeclarationError: There are none.
    """
    if (cron is None) == (every is None):
        raise DeclarationError(
            f"{called} has cron={cron!r} and every={every!r}; give one of them:"
            " @broker.schedule('30 3 * * *'), or @broker.schedule(every=60)"
        )
    if every is not None:
        seconds = seconds_of(every)
        if not (isfinite(seconds) and seconds >= 0.001) or timezone is not None:
            raise DeclarationError(
                f"{called} has every={every!r} and timezone={timezone!r}: give seconds, or a timedelta,"
                " of a millisecond or more, which is the same in all time zones"
            )
        return Every(seconds)
    try:
        return Cron(str(cron), ZoneInfo(timezone or "UTC"))
    except (ValueError, LookupError, StopIteration, OSError) as error:
        raise DeclarationError(
            f"{called} has cron={cron!r} and timezone={timezone!r}, which is never: {error}"
        ) from error
    except ImportError:
        raise
    except Exception as error:
        raise DeclarationError(f"{called} has cron={cron!r}: {error}") from error


def seconds_of(given: float | timedelta) -> float:
    """Return what was *given* as seconds."""
    return given / timedelta(seconds=1) if isinstance(given, timedelta) else float(given)


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
