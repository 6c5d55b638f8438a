"""The log of `callboard run`: a level, or a file that says all."""

from __future__ import annotations

import json
import logging
import logging.config
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from callboard.command._fail import fail, nearest
from callboard.command._locate import explain

_LINE: Final = "%(asctime)s %(levelname)-8s %(message)s"
_OF_WORKER: Final = "%(asctime)s %(levelname)-8s [worker %(worker_id)s] %(message)s"


CLIENTS: Final = ("aiokafka", "aiormq", "pamqp", "nats", "redis", "asyncpg")
"""The loggers of clients, whose own lines only those want to see who look for a fault of theirs."""


def log(level: str | None, config: Path | None, worker_id: int | None, verbose: int = 0) -> None:
    """Set up the log, as the file *config* says if there is one.

    Formats of *config* may say `%(worker_id)s`.

    Args:
        level: Of the root logger; None: as *config* says, else INFO.
        config: A dictionary for `logging.config.dictConfig`. Loggers that are there already go on
            unless it says otherwise.
        worker_id: Of this process; None: it is the only one.
        verbose: 1: Callboard's lines of DEBUG too; 2: and those of INFO of the clients.
    """
    number = None if level is None else _number(level)
    if config is not None or worker_id is not None:
        _mark(worker_id)
    if config is None:
        form = _LINE if worker_id is None else _OF_WORKER
        number = logging.INFO if number is None else number
        logging.basicConfig(level=number, format=form)
        _verbose(number, verbose)
        return
    try:
        logging.config.dictConfig({"disable_existing_loggers": False, **_read(config)})
    except (ValueError, TypeError, AttributeError, ImportError, OSError) as error:
        fail(f"the log can't be set up as {config} says: {explain(error, Path())}", status=2)
    if number is not None:
        logging.getLogger().setLevel(number)


def _verbose(number: int, verbose: int) -> None:
    if verbose:
        logging.getLogger("callboard").setLevel(logging.DEBUG)
    if verbose < 2 and number >= logging.INFO:
        for name in CLIENTS:
            if (logger := logging.getLogger(name)).level == logging.NOTSET:
                logger.setLevel(max(number, logging.WARNING))


def _number(level: str) -> int:
    levels = logging.getLevelNamesMapping()
    if level.isdecimal():
        return int(level)
    if level.upper() not in levels:
        hint = nearest(level.upper(), levels) or "; write DEBUG, INFO, WARNING or ERROR"
        fail(f"there is no log level {level!r}{hint}", status=2)
    return levels[level.upper()]


def _mark(worker_id: int | None) -> None:
    make = logging.getLogRecordFactory()

    def marked(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        record.worker_id = worker_id
        return record

    logging.setLogRecordFactory(marked)


def _read(path: Path) -> Mapping[str, Any]:
    readers: dict[str, Callable[[str], object]] = {
        ".json": json.loads,
        ".toml": tomllib.loads,
        ".yaml": _yaml,
        ".yml": _yaml,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        fail(f"{path} can't be read: write it as .json, .yaml or .toml", status=2)
    try:
        found = read(path.read_text(encoding="utf-8"))
    except ImportError:
        fail(f'{path} needs PyYAML: pip install "callboard[yaml]"', status=2)
    except Exception as error:  # noqa: BLE001 - each of the formats has errors of its own
        fail(f"{path} can't be read: {explain(error, Path())}", status=2)
    if not isinstance(found, dict):
        fail(f"{path} has no dictionary for logging.config, but a {type(found).__name__}", status=2)
    return {"version": 1, **found}


def _yaml(text: str) -> object:
    import yaml  # noqa: PLC0415 - needed only by those who write YAML

    return yaml.safe_load(text)
