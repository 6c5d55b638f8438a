"""A document as one HTML file, which asks nothing of any other host.

Everything that a document says is escaped, and descriptions are Markdown without HTML or pictures.
What runs and what is styled is named by its hash in the page's own Content-Security-Policy, so that
nothing of a document could run even if it came through.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ._errors import ExtraMissingError
from ._example import example
from ._plain import Json, is_array, is_object
from ._read import Kind, Place, Reading, Use, array, objects, written
from ._tree import Node, tree

if TYPE_CHECKING:
    from jinja2 import Template
    from markdown_it import MarkdownIt

_UNFIT = re.compile(r"[^A-Za-z0-9_.]+")
_MISSING = 'the page needs Jinja2 and markdown-it-py: pip install "callboard-asyncapi[page]"'


def page(document: object, *, live: str | None = None, tries: str | None = None) -> str:
    """Return *document*, of AsyncAPI 2.6, 3.0 or 3.1, as a page of HTML.

    Args:
        document: As JSON has it; that it is valid is not looked at.
        live: Where a server says by events that the page should be loaded again; None: nowhere.
        tries: Where messages can be sent to, to try them; None: nowhere.

    Raises:
        DocumentError: This is no AsyncAPI document.
        VersionError: It is of a version that is not known here.
        ExtraMissingError: Jinja2 or markdown-it-py is not installed.
    """
    reading = Reading(document)
    style, script = _part("page.css"), _part("page.js")
    connect = f"; connect-src 'self' {_origins(live, tries)}".rstrip() if live or tries else ""
    html = _template().render(
        view=_View(reading),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
        f" img-src data:; base-uri 'none'; form-action 'none'{connect}",
        style=style,
        script=script,
        live=live,
        tries=tries,
    )
    return html.strip()


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _origins(*urls: str | None) -> str:
    parts = [urlsplit(each or "") for each in urls]
    return " ".join(f"{each.scheme}://{each.netloc}" for each in parts if each.netloc)


def _part(name: str) -> str:
    return (resources.files("callboard_asyncapi") / "page" / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    try:
        from jinja2 import Environment  # noqa: PLC0415 - for those who have a page
        from markupsafe import Markup  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ExtraMissingError(_MISSING) from error
    around = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    marked = _markdown()
    around.filters["markdown"] = lambda text: Markup(marked.render(inspect.cleandoc(str(text))))  # noqa: S704 - without HTML
    around.filters["coloured"] = lambda text: Markup(_coloured(str(text)))  # noqa: S704 - escaped there
    around.filters["own"] = lambda text: Markup(text)  # noqa: S704 - our style and script
    around.filters["object"] = objects
    around.filters["written"] = written
    around.tests["web"] = _is_web
    return around.from_string(_part("page.html"))


def _markdown() -> MarkdownIt:
    try:
        from markdown_it import MarkdownIt  # noqa: PLC0415 - for those who have a page
    except ImportError as error:
        raise ExtraMissingError(_MISSING) from error
    marked = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")

    # Headings of a description would be among those of the page.
    marked.add_render_rule("heading_open", _bold)
    marked.add_render_rule("heading_close", _bold_end)
    return marked


def _bold(*_: object) -> str:
    return "<p><strong>"


def _bold_end(*_: object) -> str:
    return "</strong></p>\n"


def _is_web(value: object) -> bool:
    """Whether *value* may be a link: one to a page or to a mailbox."""
    return isinstance(value, str) and value.lower().startswith(("https://", "http://", "mailto:"))


_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)"
)


def _coloured(text: str) -> str:
    """Return JSON as HTML, with what it consists of marked."""
    from markupsafe import escape  # noqa: PLC0415 - for those who have a page

    pieces: list[str] = []
    end = 0
    for found in _TOKEN.finditer(text):
        pieces.append(str(escape(text[end : found.start()])))
        pieces.append(f'<span class="j-{found.lastgroup}">{escape(found[0])}</span>')
        end = found.end()
    return "".join([*pieces, str(escape(text[end:]))])


@dataclass(frozen=True)
class Example:
    """A message as it might look; `is_made` if nobody has written it."""

    name: str
    payload: Any
    headers: Any
    is_made: bool = False

    @property
    def text(self) -> str:
        """The payload, as JSON."""
        return _indented(self.payload)


class _View:
    """What the template shows, with the ids of what can be linked to."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._ids: set[str] = set()
        schemas = reading.section("components", "schemas")
        self.anchors = {name: self.id("schema", name) for name in schemas}
        self.info = objects(reading.document.get("info"))
        self.about = {**reading.document, **self.info}

    @property
    def servers(self) -> Iterator[tuple[str, str, Json]]:
        """Key, address and what is said of each server."""
        for key, each in self.reading.section("servers").items():
            said = self.reading.at(each)
            url = f"{said.get('protocol', '')}://{said.get('host', '')}{said.get('pathname') or ''}"
            yield key, str(said.get("url") or url), said

    @property
    def places(self) -> Sequence[Place]:
        """The channels; those that hold nothing but answers are shown where they are given."""
        answers = {
            str(objects(use.answer.said.get("channel")).get("$ref"))
            for place in self.reading.places
            for use in place.uses
            if use.answer
        }
        names = {each.rpartition("/")[2] for each in answers}
        return [e for e in self.reading.places if e.uses or e.address or e.key not in names]

    @property
    def schemas(self) -> Iterator[tuple[str, str, Node]]:
        """Key, id and tree of each component."""
        for key, each in self.reading.section("components", "schemas").items():
            yield key, self.anchors[key], self.tree(each, is_component=True)

    def id(self, kind: str, name: str) -> str:
        """Return an id for what is called *name*: the same for the same document."""
        wanted = f"{kind}-{_UNFIT.sub('-', name).strip('-')}"
        found, n = wanted, 2
        while found in self._ids:
            found, n = f"{wanted}-{n}", n + 1
        self._ids.add(found)
        return found

    def tree(self, schema: object, *, is_component: bool = False) -> Node:
        """Return the tree of *schema*; of a format of its own, there is none."""
        if is_object(schema) and "schemaFormat" in schema:
            return Node(
                "", str(schema["schemaFormat"]), rest=[("schema", written(schema.get("schema")))]
            )
        return tree(self.reading, schema, is_component=is_component)

    def payload(self, kind: Kind) -> Node | None:
        """Return the tree of a message's body, if anything is said of it."""
        if kind.payload is None:
            return None
        if kind.format:
            return Node("", kind.format, rest=[("schema", written(kind.payload))])
        return self.tree(kind.payload)

    def examples(self, kind: Kind) -> list[Example]:
        """Return the examples of a message; one that is made, if it has none."""
        given = [objects(each) for each in array(kind.said.get("examples"))]
        shown = [
            Example(
                str(e.get("name") or e.get("summary") or ""), e.get("payload"), e.get("headers")
            )
            for e in given
        ]
        if shown or kind.payload is None or kind.format:
            return shown
        return [Example("", example(self.reading, kind.payload), None, is_made=True)]

    def parameters(self, place: Place) -> Iterator[Node]:
        """Yield the parameters of an address."""
        for name, each in objects(place.said.get("parameters")).items():
            said = self.reading.at(each)
            schema = {"type": "string", **objects(said.get("schema"))}
            words = {n: e for n, e in said.items() if n not in {"schema", "location"}}
            node = self.tree({**schema, **words})
            yield replace(node, name=name, notes=[*_from(said), *node.notes])

    def facts(self, said: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the bindings of something, and whom it lets in, line by line."""
        bindings = self.reading.at(said.get("bindings"))
        lines = [
            (f"{protocol} {path}".strip(), value)
            for protocol, each in bindings.items()
            for path, value in _flat(self.reading.at(each), "")
        ]
        secured = ", ".join(self._schemes(said.get("security")))
        return [*lines, ("security", secured)] if secured else lines

    def _schemes(self, security: object) -> Iterator[str]:
        for each in array(security):
            reference = objects(each).get("$ref")
            if isinstance(reference, str):
                yield f"{reference.rpartition('/')[2]} ({self.reading.at(each).get('type')})"
            elif "type" in objects(each):
                yield str(each["type"])
            else:
                yield from objects(each)

    def tags(self, said: Mapping[str, Any]) -> list[str]:
        """Return the names of its tags."""
        return [str(self.reading.at(each).get("name", "")) for each in array(said.get("tags"))]

    def docs(self, said: Mapping[str, Any]) -> Json:
        """Return where more is written about it."""
        return self.reading.at(said.get("externalDocs"))

    @staticmethod
    def actions(place: Place) -> list[str]:
        """Return what is done with a channel, each once."""
        return list(dict.fromkeys(use.action for use in place.uses))

    @staticmethod
    def loose(place: Place) -> list[Kind]:
        """Return the messages of a channel that no operation has."""
        used = [kind for use in place.uses for kind in use.kinds]
        return [each for each in place.kinds if each not in used]

    @staticmethod
    def called(use: Use) -> str:
        """Return what people call an operation; nothing if nobody has said it."""
        return str(use.said.get("title") or use.said.get("summary") or "")


def _from(said: Json) -> list[str]:
    return [f"from {said['location']}"] if "location" in said else []


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Yield what is in *value*, each with the path to it."""
    if is_object(value) and (listed := array(value.get("enum"))):
        value = listed  # a schema, of which bindings mean the values
    if is_object(value) and value:
        for name, each in value.items():
            if name != "bindingVersion":
                yield from _flat(each, f"{path} {name}".strip())
    elif is_array(value) and not any(is_object(each) or is_array(each) for each in value):
        yield path, ", ".join(str(each) for each in value)
    else:
        yield path, value if isinstance(value, str) else written(value)


def _indented(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
