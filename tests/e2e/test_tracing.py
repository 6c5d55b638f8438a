"""One trace through two processes and two brokers, told to a collector by OTLP."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

EXAMPLES = Path(__file__).parents[2] / "apps" / "examples"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.broker("kafka"),
    pytest.mark.broker("rabbit"),
]


@dataclass(frozen=True)
class Told:
    """A span, as the collector was told of it."""

    trace: bytes
    id: bytes
    parent: bytes
    links: Sequence[bytes]
    service: str
    name: str
    schema_url: str


class Collector(ThreadingHTTPServer):
    """Takes traces by OTLP over HTTP, in protobuf, as any collector does at its port 4318."""

    def __init__(self) -> None:
        self.spans: list[Told] = []
        super().__init__(("127.0.0.1", 0), Taking)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.spans += [
                Told(
                    span.trace_id,
                    span.span_id,
                    span.parent_span_id,
                    [link.span_id for link in span.links],
                    names["service.name"],
                    span.name,
                    scope.schema_url,
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]


class Taking(BaseHTTPRequestHandler):
    """One request to the collector."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = (self.path, self.headers["Content-Type"], self.headers["Content-Encoding"])
        self.send_response(200 if right == ("/v1/traces", "application/x-protobuf", None) else 400)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
        assert isinstance(self.server, Collector)
        self.server.take(ExportTraceServiceRequest.FromString(body))
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - as it is called there


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def tree(spans: Sequence[Told], name: str) -> Sequence[str]:
    """Return a line for each of *spans*, below that of its parent, in the order of their names."""
    below: dict[bytes, list[Told]] = {}
    for span in sorted(spans, key=lambda span: span.name):
        below.setdefault(span.parent, []).append(span)

    def lines(parent: bytes, depth: int) -> Iterator[str]:
        for span in below.get(parent, []):
            yield f"{'  ' * depth}{span.service}: {span.name.replace(name, 'x')}"
            yield from lines(span.id, depth + 1)

    return [*lines(b"", 0)]


def running(module: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(Path(sys.executable).parent / "callboard"), "run", f"traces.{module}:app"],
        cwd=EXAMPLES,
        env={**os.environ, **environment, "OTEL_SERVICE_NAME": module},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_trace_leads_through_two_processes_and_two_brokers(
    collector: Collector, topic: str
) -> None:
    environment = {"TRACES": topic, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with ExitStack() as left:
        shop = left.enter_context(running("shop", environment))
        left.callback(shop.kill)
        office = left.enter_context(running("office", environment))
        left.callback(office.kill)
        written, _ = office.communicate(timeout=90)
        assert office.returncode == 0, written
        shop.terminate()
        written, _ = shop.communicate(timeout=60)
        assert shop.returncode == 0, written

    assert tree(collector.spans, topic) == [
        "office: publish x.orders",
        "  shop: process x.orders",
        "    shop: publish x.invoices",
        "      office: process x.invoices",
    ]
    assert len({span.trace for span in collector.spans}) == 1
    assert {span.schema_url for span in collector.spans} == {
        "https://opentelemetry.io/schemas/1.44.0"
    }
    linked = [span for span in collector.spans if span.links]
    assert [span.links for span in linked] == [[span.parent] for span in linked]
    assert len(linked) == 2
