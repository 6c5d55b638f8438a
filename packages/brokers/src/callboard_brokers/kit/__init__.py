"""What adapters share, for those of this package and for anybody's.

An adapter holds what is peculiar to its broker; these parts hold what two of them would write.
Each can be used alone, and each runs on asyncio and trio, but for what helps with a client of
asyncio: `Known`, `heard`, `in_time`, `on_asyncio`, `over` and `together`.
"""

from callboard_brokers.kit._backoff import RECONNECT, REDELIVER, Backoff
from callboard_brokers.kit._client import load, needing
from callboard_brokers.kit._flush import Flush
from callboard_brokers.kit._held import Again, Held, Leases, Write
from callboard_brokers.kit._hinted import hint, hinted, hinting, left_out
from callboard_brokers.kit._inflow import Inflow
from callboard_brokers.kit._journal import Journal
from callboard_brokers.kit._on_asyncio import Known, heard, in_time, on_asyncio, over, together
from callboard_brokers.kit._quiet import quiet
from callboard_brokers.kit._reach import Reach
from callboard_brokers.kit._replies import Replies
from callboard_brokers.kit._security import (
    BaseSecurity,
    SASLOAuthBearer,
    SASLPlaintext,
    SASLScram256,
    SASLScram512,
)
from callboard_brokers.kit._signal import Signal
from callboard_brokers.kit._tasks import background, time_left
from callboard_brokers.kit._template import Template
from callboard_brokers.kit._translate import Kind, Translation, brief
from callboard_brokers.kit._when import seconds_until
from callboard_brokers.kit._wire import RESERVED, Pair, from_pairs, text_of, to_pairs
from callboard_brokers.kit._written import Each, Entry, Prefix

__all__ = [
    "RECONNECT",
    "REDELIVER",
    "RESERVED",
    "Again",
    "Backoff",
    "BaseSecurity",
    "Each",
    "Entry",
    "Flush",
    "Held",
    "Inflow",
    "Journal",
    "Kind",
    "Known",
    "Leases",
    "Pair",
    "Prefix",
    "Reach",
    "Replies",
    "SASLOAuthBearer",
    "SASLPlaintext",
    "SASLScram256",
    "SASLScram512",
    "Signal",
    "Template",
    "Translation",
    "Write",
    "background",
    "brief",
    "from_pairs",
    "heard",
    "hint",
    "hinted",
    "hinting",
    "in_time",
    "left_out",
    "load",
    "needing",
    "on_asyncio",
    "over",
    "quiet",
    "seconds_until",
    "text_of",
    "time_left",
    "to_pairs",
    "together",
]
