"""The ids of messages."""

from __future__ import annotations

import os

import pytest

from callboard import MemoryBroker


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_children_by_fork_make_ids_of_their_own(broker: MemoryBroker) -> None:
    def of_a_child() -> str:
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, broker.out.identify().encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as said:
            return said.read()

    ids = [broker.out.identify(), of_a_child(), of_a_child(), broker.out.identify()]

    assert len(set(ids)) == 4
    assert all(ids)
    prefixes = [id_.partition("-")[0] for id_ in ids]
    assert prefixes[0] == prefixes[3]
    assert len(set(prefixes)) == 3


def test_brokers_of_one_process_share_no_id(broker: MemoryBroker) -> None:
    other = MemoryBroker()

    assert len({source.out.identify() for source in (broker, other) for _ in range(5)}) == 10
