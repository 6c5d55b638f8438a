"""What a command line names, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from callboard.command._locate import LocateError, explain, locate


def write(folder: Path, *lines: str, name: str = "service") -> None:
    (folder / f"{name}.py").write_text("\n".join(["from callboard import App", *lines]))


def test_an_application_is_found_by_module_and_attribute(folder: Path) -> None:
    write(folder, "app = App(title='found')")

    assert locate("service:app", folder).title == "found"


def test_an_attribute_may_be_dotted_and_a_module_in_a_package(folder: Path) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    write(folder / "shop", "class apps:", "    main = App(title='found')")

    assert locate("shop.service:apps.main", folder).title == "found"


def test_a_factory_makes_the_application(folder: Path) -> None:
    write(folder, "def make():", "    return App(title='made')")

    assert locate("service:make", folder, factory=True).title == "made"


def message(path: str, folder: Path, *, factory: bool = False) -> str:
    with pytest.raises(LocateError) as caught:
        locate(path, folder, factory=factory)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("path", ["service", "service:", ":app", ""])
def test_a_path_has_two_parts(folder: Path, path: str) -> None:
    assert "write module:attribute, as in main:app" in message(path, folder)


@pytest.mark.parametrize("path", ["service.py:app", "shop/service:app"])
def test_a_path_names_a_module_and_no_file(folder: Path, path: str) -> None:
    assert "is a file; write its module" in message(path, folder)


def test_the_directory_must_be_there(folder: Path) -> None:
    assert "no directory to import from" in message("service:app", folder / "nowhere")


@pytest.mark.parametrize("path", ["nowhere:app", "service.nowhere:app", "shop.nowhere:app"])
def test_a_missing_module_is_named(folder: Path, path: str) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    write(folder)

    assert message(path, folder).startswith(f"there is no module '{path[:-4]}'")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import nowhere_at_all", "No module named 'nowhere_at_all' (service.py:2)"),
        ("from json import nothing", "cannot import name 'nothing'"),
        ("app = ", "SyntaxError: invalid syntax (service.py, line 2)"),
        ("app = 1 / 0", "ZeroDivisionError: division by zero (service.py:2)"),
        ("raise SystemExit('no licence')", "SystemExit: no licence (service.py:2)"),
    ],
)
def test_a_module_that_fails_says_why_and_where(folder: Path, line: str, reason: str) -> None:
    write(folder, line)

    text = message("service:app", folder)

    assert text.startswith("module 'service' can't be imported: ")
    assert reason in text


def test_a_mistake_in_a_declaration_is_shown_with_the_line_of_the_user(folder: Path) -> None:
    write(
        folder,
        "from callboard import MemoryBroker",
        "broker = MemoryBroker()",
        "@broker.subscriber('orders', mailbox=0)",
        "def handle(order): ...",
    )

    text = message("service:app", folder)

    assert "DeclarationError: mailbox=0" in text
    assert text.endswith("(service.py:4)")


def test_a_missing_attribute_is_named(folder: Path) -> None:
    write(folder)

    assert message("service:main.app", folder) == "module 'service' has no attribute 'main.app'"


def test_an_attribute_that_is_no_application_is_named(folder: Path) -> None:
    write(folder, "app = 5", "def make(): return 5")

    assert message("service:app", folder) == "'service:app' is a int, not a callboard.App"
    assert message("service:make", folder).endswith("; say --factory if it makes one")
    assert message("service:make", folder, factory=True).endswith("is a int, not a callboard.App")


def test_a_factory_that_fails_says_why_and_where(folder: Path) -> None:
    write(folder, "def make():", "    raise LookupError('no settings')")

    text = message("service:make", folder, factory=True)

    assert text == "the factory 'service:make' failed: LookupError: no settings (service.py:3)"


def test_an_error_is_explained_by_its_root() -> None:
    cause = ExceptionGroup("several", [LookupError("no database")])
    error = RuntimeError("can't start")
    error.__cause__ = cause

    assert (
        explain(error, Path()) == "RuntimeError: can't start; because of LookupError: no database"
    )


def test_an_error_that_repeats_its_cause_is_told_once() -> None:
    error = RuntimeError("can't start: refused")
    error.__cause__ = OSError("refused")

    assert explain(error, Path()) == "RuntimeError: can't start: refused"
