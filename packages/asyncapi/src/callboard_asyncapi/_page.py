"""A document as one HTML file, which asks nothing of any other host.

Everything that a document says is escaped, and descriptions are Markdown without HTML or pictures.
What runs and what is styled is named by its hash in the page's own Content-Security-Policy, so that
nothing of a document could run even if it came through.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from ._errors import ExtraMissingError
from ._example import example
from ._export import to_json
from ._plain import is_array, is_object
from ._read import Kind, Place, Reading, array, objects, written
from ._tree import Node, tree

if TYPE_CHECKING:
    from jinja2 import Template
    from markdown_it import MarkdownIt

_UNFIT = re.compile(r"[^A-Za-z0-9_.]+")
_MISSING = 'the page needs Jinja2 and markdown-it-py: pip install "callboard-asyncapi[page]"'


def page(document: object, *, live: str | None = None) -> str:
    """Return *document*, of AsyncAPI 2.6, 3.0 or 3.1, as a page of HTML.

    Args:
        document: As JSON has it; that it is valid is not looked at.
        live: Where its own server says by events that it should be loaded again; None: nowhere.

    Raises:
        DocumentError: This is no AsyncAPI document.
        VersionError: It is of a version that is not known here.
        ExtraMissingError: Jinja2 or markdown-it-py is not installed.
    """
    reading = Reading(document)
    style, script = _part("page.css"), _part("page.js")
    connect = "; connect-src 'self'" if live else ""
    html = _template().render(
        view=_View(reading),
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)};"
        f" img-src data:; base-uri 'none'; form-action 'none'{connect}",
        style=style,
        script=script,
        live=live,
    )
    return html.strip()


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


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
    around.filters["json"] = to_json
    around.filters["own"] = lambda text: Markup(text)  # noqa: S704 - our style and script
    around.filters |= {"object": objects, "array": array}
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

    def id(self, kind: str, name: str) -> str:
        """Return an id for what is called *name*: the same for the same document."""
        wanted = f"{kind}-{_UNFIT.sub('-', name).strip('-')}"
        found, n = wanted, 2
        while found in self._ids:
            found, n = f"{wanted}-{n}", n + 1
        self._ids.add(found)
        return found

    def tree(self, schema: object, form: str = "", *, is_component: bool = False) -> Node:
        """Return the tree of *schema*; of one in a format of its own, there is none."""
        if is_object(schema) and "schemaFormat" in schema:
            form, schema = str(schema["schemaFormat"]), schema.get("schema")
        if form:
            return Node("", form, rest=[("schema", written(schema))])
        return tree(self.reading, schema, is_component=is_component)

    def example(self, kind: Kind) -> Any:
        """Return a body that a message might have."""
        return example(self.reading, kind.payload)

    def parameters(self, place: Place) -> Iterator[Node]:
        """Yield the parameters of an address."""
        for name, each in objects(place.said.get("parameters")).items():
            said = self.reading.at(each)
            schema = {"type": "string", **objects(said.get("schema"))}
            words = {n: e for n, e in said.items() if n not in {"schema", "location"}}
            node = self.tree({**schema, **words})
            notes = [f"from {said['location']}"] if "location" in said else []
            yield replace(node, name=name, notes=notes)

    def facts(self, said: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the bindings of something, line by line."""
        return [
            (f"{protocol} {path}".strip(), value)
            for protocol, each in self.reading.at(said.get("bindings")).items()
            for path, value in _flat(self.reading.at(each), "")
        ]


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
