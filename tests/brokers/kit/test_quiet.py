"""The loggers of a client are throttled, all of them, while it is in use."""

from __future__ import annotations

import logging

import pytest

from callboard_brokers.kit import quiet


def complain(logger: logging.Logger, text: str) -> None:
    logger.warning(text)


def test_a_line_is_logged_once_whatever_it_says(caplog: pytest.LogCaptureFixture) -> None:
    deep = logging.getLogger("a_client.connection.socket")
    with quiet("a_client"):
        for number in range(5):
            complain(deep, f"cannot reach {number}")
        deep.error("another line")

    assert caplog.messages == ["cannot reach 0", "another line"]


def test_other_lines_and_other_loggers_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stranger, logger = logging.getLogger("a_clients_cousin"), logging.getLogger("a_client")
    with quiet("a_client"):
        for _ in range(2):
            logger.info("connected")
            complain(stranger, "mine")
    for _ in range(2):
        complain(logger, "after")

    assert sorted(caplog.messages) == [
        "after",
        "after",
        "connected",
        "connected",
        "mine",
        "mine",
    ]


@pytest.mark.parametrize(
    "said",
    [
        r"SaslAuthenticateRequest_v0(sasl_auth_bytes=b'\x00alice\x00hunter2')",
        "connecting with password=hunter2",
        "OAuth token hunter2",
    ],
)
def test_no_line_tells_how_we_log_in(caplog: pytest.LogCaptureFixture, said: str) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("a_client")
    with quiet("a_client"):
        logger.debug("Request to %s:%d: %s", "server", 1, said)
        logger.debug("Request to %s:%d: %s", "server", 1, "MetadataRequest_v1(topics=[])")

    assert caplog.messages == ["Request to server:1: MetadataRequest_v1(topics=[])"]
