"""What import-linter checks from the source holds in a running process, and per package."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "packages"
LEAVES = ["actors", "asyncapi", "brokers", "di", "validation"]
CLIENTS = {"aiokafka", "aio_pika", "aiormq", "nats", "redis"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_loads_no_sibling_and_not_the_trunk(leaf: str) -> None:
    loaded = modules_after(f"import callboard_{leaf}")

    assert {name for name in loaded if name.startswith("callboard")} == {f"callboard_{leaf}"}


@pytest.mark.slow
def test_the_facade_loads_no_client() -> None:
    assert modules_after("import callboard") & CLIENTS == set()


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_can_be_installed_alone(leaf: str) -> None:
    project = tomllib.loads((PACKAGES / leaf / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    required = [*project["dependencies"], *(name for extra in extras for name in extra)]

    assert [name for name in required if name.startswith("callboard")] == []


@pytest.mark.parametrize("package", [*LEAVES, "callboard"])
def test_a_package_says_that_it_is_typed(package: str) -> None:
    assert list((PACKAGES / package / "src").glob("*/py.typed"))
