"""What the bodies and headers of messages look like: JSON Schemas of what handlers take and return."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import NoneType
from typing import Any, TypeAlias

from callboard.declare._elements import elements_of
from callboard.declare._publisher import Publisher, result_element
from callboard.declare._resolver import AnyResolver
from callboard.declare._subscriber import Call
from callboard_asyncapi import Message
from callboard_di import EMPTY, Callee, plan
from callboard_validation import DefinitionError, Parameter, json_schema, spread_json_schema

Schema: TypeAlias = dict[str, Any]
_CORRELATION = "$message.header#/correlation_id"
_HEADERS = ("message", "headers")
_KINDS: dict[Any, str] = {str: "text/plain", bytes: "application/octet-stream"}


def call_name(name: str) -> str:
    """Spell the name of a function like a class: `on_order` becomes `OnOrder`."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[\W_]+", name))


def calls_name(names: Sequence[str]) -> str:
    """Name several functions as one: `[OnOrder,OnRefund]`; `Subscriber` if there is none."""
    called = [call_name(each) for each in names]
    return f"[{','.join(called)}]" if len(called) > 1 else "".join(called) or "Subscriber"


def received(name: str, calls: Sequence[Call], title: str | None, *, batch: bool) -> Message:
    """Describe what *calls* of one subscriber take, as a message that is called *name*."""
    several = len(calls) > 1
    payloads = [
        _body(call, call_name(call.name) if several else title or call_name(call.name), batch=batch)
        for call in calls
    ]
    unknown = {"title": f"{title or 'Subscriber'}:Message:Payload"}
    return Message(
        name=name,
        correlation_id=_CORRELATION,
        payload=payloads if several else (payloads or [unknown])[0],
        headers=_headers(calls),
    )


def published(publisher: Publisher[Any], channel: str) -> Message:
    """Describe what *publisher* sends: the type that it is told, else what handlers return."""
    options = publisher.options
    if options.schema is not None:
        return sent([("", options.schema)], channel)
    element = result_element if options.batch else _as_it_is
    results = [(name, element(returns)) for name, returns in publisher.decorated]
    return sent(results, channel)


def answered(calls: Sequence[Call], channel: str) -> Message | None:
    """Describe what *calls* answer; None if nothing is known of that."""
    known = [
        (call.name, call.callee.returns) for call in calls if not _is_unknown(call.callee.returns)
    ]
    known = [each for each in known if each[1] not in (None, NoneType)]
    return sent(known, f"{channel}:Reply") if known else None


def sent(results: Sequence[tuple[str, Any]], channel: str) -> Message:
    """Describe what is sent, given who returns it and its type."""
    types = [returns for _, returns in results]
    first = [result for n, result in enumerate(results) if result[1] not in types[:n]]
    several = len(first) > 1
    payloads = [
        _titled(
            _schema(partial(json_schema, returns, mode="serialization"), returns),
            f"{f'{call_name(name)}:Publisher' if several else channel}:Message:Payload",
        )
        for name, returns in first
    ]
    kinds = {_KINDS.get(each) if isinstance(each, type) else None for each in types}
    return Message(
        correlation_id=_CORRELATION,
        content_type=kinds.pop() if len(kinds) == 1 else None,
        payload=payloads if several else (payloads or [{}])[0],
    )


def _body(call: Call, name: str, *, batch: bool) -> Schema:
    title = f"{name}:Message:Payload"
    planned = plan(call.callee, resolver=AnyResolver(), dependencies=call.dependencies)
    if not planned.body:
        return {"title": "EmptyPayload", "type": "null"}
    if planned.spread:
        parameters = [Parameter(b.name, b.annotation, b.default, b.kind) for b in planned.body]
        return _titled(_schema(lambda: spread_json_schema(parameters, title=title)), title)
    annotation = elements_of(planned).annotation if batch else planned.body[0].annotation
    return _titled(_schema(lambda: json_schema(annotation), annotation), title)


def _headers(calls: Sequence[Call]) -> Schema | None:
    """Describe the headers that *calls* ask for; what only some of them need is not required."""
    properties: Schema = {}
    needed: list[set[str]] = []
    for call in calls:
        needed.append(set())
        for name, annotation, default in _asked(call.callee):
            schema = _schema(partial(json_schema, annotation), annotation)
            # What is defined apart, no header carries: bodies hold objects.
            properties.setdefault(name, {} if "$defs" in schema else schema)
            if default is EMPTY:
                needed[-1].add(name)
    if not properties:
        return None
    always = [each for each in properties if all(each in names for names in needed)]
    required = {"required": always} if always else {}
    return {"type": "object", "properties": properties, **required}


def _asked(callee: Callee) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, type and default of each header that *callee* or its dependencies ask for."""
    for each in callee.parameters:
        marker: Any = each.marker
        if isinstance(inner := getattr(marker, "callee", None), Callee):
            yield from _asked(inner)
        elif getattr(marker, "within", None) == _HEADERS:
            default = each.default if marker.default is EMPTY else marker.default
            yield marker.real_name or each.name, each.annotation, default


def _titled(schema: Schema, title: str) -> Schema:
    """Return *schema* under its own name if it has one, else under *title*."""
    if "title" in schema or schema.keys() - {"$defs"} == {"$ref"}:
        return schema
    return {"title": title, **schema}


def _schema(make: Callable[[], Schema], annotation: object = None) -> Schema:
    """Return the schema of a type; that of anything where there is none to be had."""
    if _is_unknown(annotation):
        return {}
    try:
        return make()
    except DefinitionError:
        return {}


def _is_unknown(annotation: object) -> bool:
    return annotation in (EMPTY, Any) or isinstance(annotation, str)


def _as_it_is(returns: object) -> object:
    return returns
