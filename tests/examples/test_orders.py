"""The example application keeps its promises, and its demo notices when it does not."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
import pytest

from callboard import TestBroker
from orders.app import Invoices, app, broker, validate
from orders.books import Books, DeadOrder, audit
from orders.models import Invoice, Order, PricedOrder
from orders.screen import Stage, stages

EXAMPLES = Path(__file__).parents[2] / "apps" / "examples"
TOO_MANY = 1_000_000


def order(
    number: int = 1, customer: str = "ada", product: str = "mask", quantity: int = 2
) -> Order:
    return Order(customer=customer, number=number, product=product, quantity=quantity)


@pytest.fixture
def books() -> Books:
    """Books with nothing in them, on the broker's context."""
    fresh = Books()
    broker.context.set_global("books", fresh)
    return fresh


@pytest.mark.anyio
async def test_an_order_is_checked_priced_invoiced_and_shipped(books: Books) -> None:
    async with TestBroker(broker):
        await broker.publish(order(), "orders.new")

        await validate.assert_called_once_with(order().model_dump())

    assert books.invoices == [invoice(1)]
    assert books.shipped == {"ada": [1]}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"customer":"ada","num', "DecodeError"),
        (b'["ada",1,"mask",2]', "ValidationError"),
        (b'{"customer":"ada","number":1,"quantity":2}', "ValidationError"),
        (b'{"customer":"ada","number":1,"product":"mask","quantity":"two"}', "ValidationError"),
        (b'{"customer":"ada","number":1,"product":"mask","quantity":-2}', "ValidationError"),
        (b'{"customer":"ada","number":1,"product":"gramophone","quantity":2}', "RequestFailed"),
    ],
)
async def test_a_bad_order_is_dead_lettered_with_its_reason(
    books: Books, line: bytes, reason: str
) -> None:
    async with TestBroker(broker):
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one, the header says
            await broker.publish(line, "orders.new")

    assert [dead.reason for dead in books.dead] == [reason]
    assert not books.shipped


@pytest.mark.anyio
async def test_an_order_that_crashes_the_invoices_is_set_aside_and_the_numbers_go_on(
    books: Books,
) -> None:
    await app.start()
    for number, quantity in enumerate([1, TOO_MANY, 1], 1):
        await broker.publish(order(number, quantity=quantity), "orders.new", key="ada")
    await anyio.sleep(10)  # the clock jumps: all of it has come to an end
    await app.stop()

    assert [dead.reason for dead in books.dead] == ["Quarantined"]
    assert [invoice.number for invoice in books.invoices] == [1, 2]
    assert books.shifts == ["failed", "failed", "shutdown"]


@pytest.mark.anyio
async def test_each_customers_orders_arrive_in_sequence_though_later_ones_are_packed_faster(
    books: Books,
) -> None:
    await app.start()
    for number in range(1, 11):
        for customer in ("ada", "basil"):
            smaller = order(number, customer, quantity=100 - 9 * number)
            await broker.publish(smaller, "orders.new", key=customer)
    await anyio.sleep(10)
    await app.stop()

    assert books.shipped == {"ada": [*range(1, 11)], "basil": [*range(1, 11)]}


@pytest.mark.anyio
async def test_every_price_list_that_was_opened_is_closed_also_when_the_product_is_unknown(
    books: Books,
) -> None:
    async with TestBroker(broker):
        await broker.publish(order(), "orders.new")
        with pytest.raises(LookupError):
            await broker.publish(order(product="gramophone"), "orders.new")

    assert (books.opened, books.closed) == (2, 2)


@pytest.mark.anyio
async def test_invoices_rebuild_their_state_from_the_books(books: Books) -> None:
    books.invoices.append(invoice(1))
    invoices = Invoices(books)
    await invoices.on_start()

    assert await invoices.receive(invoice(1).order) == invoice(2)


def invoice(number: int) -> Invoice:
    return Invoice(number=number, order=PricedOrder(**order().model_dump(), price=1_990))


def finished(**changes: Any) -> Books:
    """Books that add up: two orders shipped, one dead; but for the *changes*."""
    books = Books(
        published=3,
        invoices=[invoice(1), invoice(2)],
        shipped=defaultdict(list, ada=[1, 3]),
        dead=[DeadOrder(b"", "DecodeError", "it is empty", "orders.new")],
        opened=2,
        closed=2,
    )
    return replace(books, **changes)


def test_the_audit_finds_nothing_in_books_that_add_up() -> None:
    assert all(check.holds for check in audit(finished()))


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"dead": []}, 0),
        ({"shipped": {"ada": [1, 2, 3]}}, 0),
        ({"shipped": {"ada": [3, 1]}}, 1),
        ({"shipped": {"ada": [1, 1]}}, 1),
        ({"invoices": [invoice(1), invoice(3)]}, 2),
        ({"closed": 1}, 3),
    ],
    ids=["one lost", "one too many", "out of sequence", "twice", "a gap", "one left open"],
)
def test_the_audit_finds_what_does_not_add_up(changes: dict[str, object], claim: int) -> None:
    assert not audit(finished(**changes))[claim].holds


def test_an_audit_of_nothing_fails() -> None:
    assert not audit(Books())[0].holds


def test_what_is_neither_done_nor_dead_waits() -> None:
    passed = Counter(new=10, validated=8, priced=5, invoiced=5, shipped=4)
    dead = [DeadOrder(b"", "DecodeError", "it is empty", "orders.new")]

    assert stages(passed, dead) == [
        Stage("validate", done=8, waiting=1, dead=1),
        Stage("price", done=5, waiting=3, dead=0),
        Stage("invoice", done=5, waiting=0, dead=0),
        Stage("ship", done=4, waiting=1, dead=0),
    ]


def test_the_orders_are_some_thousand_lines() -> None:
    assert len(files("orders").joinpath("orders.jsonl").read_bytes().splitlines()) == 3_000


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_demo_adds_up_and_says_so_in_plain_lines() -> None:
    command = [sys.executable, "-m", "orders"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "3,000 orders published = 2,988 shipped + 12 dead letters" in done.stdout
    assert "Invoices starts anew at once" in done.stdout
    assert done.stdout.endswith("Everything adds up.\n")
    assert "\x1b" not in done.stdout
