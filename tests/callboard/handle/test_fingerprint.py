"""What failures have in common, whatever their words and lines are."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import pytest
from anyio import to_thread

from callboard.handle._fingerprint import fingerprint

pytestmark = pytest.mark.anyio


def raised(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it raises
        call()
    return caught.value


def price(order: dict[str, int]) -> int:
    return order["price"]


def handle() -> int:
    return price({})


def fail(text: str) -> None:
    if text:
        raise ValueError(text)
    raise ValueError


def of(file: str, module: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return *call* as if it were in *module*, whose file is *file*."""
    code: CodeType = call.__code__.replace(co_filename=file)
    return FunctionType(code, {**globals(), "__name__": module}, closure=call.__closure__)


def test_it_is_the_type_and_the_innermost_function_of_the_application() -> None:
    assert fingerprint(raised(handle), "orders") == f"KeyError@{__name__}:price"


def test_it_says_nothing_of_the_line_and_the_words() -> None:
    one, other = (raised(lambda text=text: fail(text)) for text in ("", "b"))  # type: ignore[misc]

    assert fingerprint(one, "orders") == fingerprint(other, "orders")


def test_frames_of_python_and_of_libraries_are_passed_over() -> None:
    def read() -> object:
        return json.loads("{")

    where = f"{__name__}:{read.__qualname__}"

    assert fingerprint(raised(read), "orders") == f"JSONDecodeError@{where}"


def test_of_an_application_that_is_installed_it_is_the_innermost_function_of_its_package() -> None:
    folder = "/venv/lib/python3.11/site-packages"
    library = of(f"{folder}/pricing/__init__.py", "pricing", price)
    mine = of(f"{folder}/shop/orders.py", "shop.orders", lambda: library({}))
    error = raised(mine)
    # The frames of this test are an application of no package; a service has none of them.
    assert error.__traceback__ is not None
    outermost = error.__traceback__
    while outermost.tb_frame.f_globals["__name__"] != "shop.orders":
        assert outermost.tb_next is not None
        outermost = outermost.tb_next

    name = fingerprint(error.with_traceback(outermost), "orders")

    assert name.startswith("KeyError@shop.orders:")


async def test_a_handler_in_a_thread_has_the_same() -> None:
    with pytest.raises(KeyError) as caught:
        await to_thread.run_sync(handle)

    assert fingerprint(caught.value, "orders") == f"KeyError@{__name__}:price"


def test_what_no_application_raised_is_known_by_its_subscriber() -> None:
    assert fingerprint(ValueError(), "orders") == "ValueError@orders"
    assert fingerprint(None, "orders") == "rejected@orders"
