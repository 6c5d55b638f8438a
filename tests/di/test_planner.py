from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard_di import Depends, plan

from .toy import Toy

pytestmark = pytest.mark.anyio

Journal = list[tuple[str, int]]
Graph = list[tuple[str, set[int]]]


def taking(call: Callable[..., Any], needs: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """Give *call* a signature with a parameter for each of its needs."""
    parameters = [
        inspect.Parameter(f"p{n}", inspect.Parameter.KEYWORD_ONLY, default=Depends(need))
        for n, need in enumerate(needs)
    ]
    vars(call)["__signature__"] = inspect.Signature(parameters)
    return call


def dependency(n: int, style: str, journal: Journal) -> Callable[..., Any]:
    def sync(**needs: object) -> None:
        journal.append(("open", n))

    async def later(**needs: object) -> None:
        journal.append(("open", n))

    def generator(**needs: object) -> Iterator[None]:
        journal.append(("open", n))
        yield
        journal.append(("close", n))

    async def async_generator(**needs: object) -> AsyncIterator[None]:
        journal.append(("open", n))
        yield
        journal.append(("close", n))

    return {f.__name__: f for f in (sync, later, generator, async_generator)}[style]


styles = st.sampled_from(["sync", "later", "generator", "async_generator"])
graphs = st.lists(st.tuples(styles, st.sets(st.integers(0, 5))), max_size=6)


@given(graph=graphs)
@settings(max_examples=40)
async def test_any_graph_is_opened_once_needs_first_and_closed_in_reverse(graph: Graph) -> None:
    journal: Journal = []
    made: list[Callable[..., Any]] = []
    for n, (style, needs) in enumerate(graph):
        call = dependency(n, style, journal)
        made.append(taking(call, [made[need] for need in sorted(needs) if need < n]))

    async def handle(**needs: object) -> None: ...

    await plan(taking(handle, made), resolver=Toy()).bind()({})

    opened = [n for what, n in journal if what == "open"]
    assert sorted(opened) == list(range(len(graph)))
    for n, (_, needs) in enumerate(graph):
        assert all(opened.index(need) < opened.index(n) for need in needs if need < n)
    closed = [n for what, n in journal if what == "close"]
    assert closed == [n for n in reversed(opened) if "generator" in graph[n][0]]
