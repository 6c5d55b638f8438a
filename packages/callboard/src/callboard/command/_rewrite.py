"""Rewrites the imports and names of one module that was written for FastStream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, NamedTuple

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.matchers import ImportFrom, ImportStar, NameItem, SimpleString, findall
from libcst.metadata import (
    CodePosition,
    ImportAssignment,
    MetadataWrapper,
    PositionProvider,
    Scope,
    ScopeProvider,
)

from callboard._absent import LINES
from callboard.command._differences import DIFFERENCES, RENAMED, Difference

_OLD: Final = ("faststream", "fast_depends")


class Finding(NamedTuple):
    """Something to know about a line: what changes there, or what nobody but the author can do."""

    line: int
    says: str


@dataclass(frozen=True)
class Rewritten:
    """A module after the change; *text* is what it was if nothing had to be changed."""

    text: bytes
    findings: Sequence[Finding]


def rewrite(text: bytes) -> Rewritten:
    """Return the module *text* with Callboard's imports and names in place of FastStream's.

    Nothing but those changes: layout, comments, line ends and encoding stay. Nothing is executed
    but Callboard itself, which is asked whether it has what the new imports name.

    Raises:
        libcst.ParserSyntaxError: *text* is no module of Python.
    """
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    names = _Names(wrapper)
    if not names.modules:
        return Rewritten(text, [])
    noted = _Notes(names)
    wrapper.visit(noted)
    changed = wrapper.module.visit(_Change(names))
    return Rewritten(changed.bytes, sorted({*names.findings, *noted.findings}))


def renamed(old: str) -> str:
    """Say what Callboard calls what FastStream calls *old*; both with their modules."""
    start, rest = old, ""
    while start not in RENAMED:
        start, dot, last = start.rpartition(".")
        if not dot:
            return old
        rest = f".{last}{rest}"
    return RENAMED[start] + rest


class _Names:
    """What a module has imported from FastStream, and where it uses that."""

    def __init__(self, wrapper: MetadataWrapper) -> None:
        self.findings: list[Finding] = []
        self.modules: set[str] = set()
        """From where it imports, and each name that it imports, as FastStream calls them."""
        self.uses: dict[cst.CSTNode, str] = {}
        """Each name or dotted name that stands for something imported, with what it stands for."""
        self.kept: set[str] = set()
        """Local names that stay, since the new one is taken."""
        self.positions = wrapper.resolve(PositionProvider)
        self._named = _named(wrapper.module)
        self.modules |= _starred(wrapper.module)
        scopes = {scope for scope in wrapper.resolve(ScopeProvider).values() if scope is not None}
        for assignment in _imports(scopes):
            self._note(assignment, scopes)

    def line(self, node: cst.CSTNode) -> int:
        start: CodePosition = self.positions[node].start
        return start.line

    def _note(self, assignment: ImportAssignment, scopes: set[Scope]) -> None:
        for old in assignment.get_qualified_names_for(assignment.name):
            if old.name.split(".")[0] not in _OLD:
                continue
            self.modules |= {old.name, old.name.rpartition(".")[0]} - {""}
            nodes = [access.node for access in assignment.references]
            for node in nodes:
                self.uses[node] = old.name
            local = renamed(old.name).rpartition(".")[2]
            taken = any(local in scope for scope in scopes)
            quoted = not all(isinstance(node, cst.Name | cst.Attribute) for node in nodes)
            # Used by nobody here, it is for other modules.
            exported = not nodes or assignment.name in self._named
            shared = not all(
                isinstance(other, ImportAssignment) for other in assignment.scope[assignment.name]
            )
            if (taken or quoted or exported or shared) and "." in old.name:
                self.kept.add(old.name)


def _named(module: cst.Module) -> set[str]:
    """Return what *module* names by a text, as in `__all__`, or declares `global`."""
    found: set[str] = set()
    for each in findall(module, SimpleString() | NameItem()):
        if isinstance(each, cst.NameItem):
            found.add(each.name.value)
        elif isinstance(each, cst.SimpleString) and isinstance(text := each.evaluated_value, str):
            found.add(text)
    return found


def _starred(module: cst.Module) -> set[str]:
    """Return the modules of FastStream of which *module* imports all that there is."""
    stars = findall(module, ImportFrom(names=ImportStar(), relative=[]))
    names = [
        get_full_name_for_node(each.module)
        for each in stars
        if isinstance(each, cst.ImportFrom) and each.module
    ]
    return {name for name in names if name and name.split(".")[0] in _OLD}


def _imports(scopes: set[Scope]) -> Iterator[ImportAssignment]:
    for scope in scopes:
        for assignment in scope.assignments:
            if isinstance(assignment, ImportAssignment):
                yield assignment


class _Change(cst.CSTTransformer):
    """Changes imports, and the names that they have brought."""

    def __init__(self, names: _Names) -> None:
        super().__init__()
        self._names = names

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        old = self._names.uses.get(original_node)
        if old is None or old in self._names.kept or old.rpartition(".")[2] != original_node.value:
            return updated_node  # another name was given to it, or it has to keep its own
        return updated_node.with_changes(value=renamed(old).rpartition(".")[2])

    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        old = _dotted(original_node, self._names)
        if old is None:
            return updated_node
        if original_node in self._names.uses:  # a module, as `import faststream.kafka` names it
            return _expression(renamed(old))
        if old not in RENAMED:
            return updated_node
        return updated_node.with_changes(attr=cst.Name(RENAMED[old].rpartition(".")[2]))

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.FlattenSentinel[cst.SimpleStatementLine]:
        if len(updated_node.body) > 1:
            return updated_node.with_changes(body=self._statements(updated_node.body))
        first, *others = self._statements(updated_node.body)
        lines = [cst.SimpleStatementLine([each]) for each in others]
        return cst.FlattenSentinel([updated_node.with_changes(body=[first]), *lines])

    def leave_SimpleStatementSuite(
        self, original_node: cst.SimpleStatementSuite, updated_node: cst.SimpleStatementSuite
    ) -> cst.SimpleStatementSuite:
        return updated_node.with_changes(body=self._statements(updated_node.body))

    def _statements(
        self, body: Sequence[cst.BaseSmallStatement]
    ) -> Sequence[cst.BaseSmallStatement]:
        new: list[cst.BaseSmallStatement] = []
        for statement in body:
            match statement:
                case cst.ImportFrom():
                    new += _import_from(statement, self._names)
                case cst.Import():
                    new.append(_import(statement))
                case _:
                    new.append(statement)
        return new


def _import(statement: cst.Import) -> cst.Import:
    """Return `import faststream.x` as `import callboard.x`."""
    names = [
        alias.with_changes(name=_expression(renamed(name)))
        if (name := get_full_name_for_node(alias.name) or "").split(".")[0] in _OLD
        else alias
        for alias in statement.names
    ]
    return statement.with_changes(names=names)


def _import_from(statement: cst.ImportFrom, names: _Names) -> list[cst.ImportFrom]:
    """Return `from faststream import ...`, an import for each module where its names are now."""
    module = get_full_name_for_node(statement.module) if statement.module is not None else ""
    if not module or statement.relative or module.split(".")[0] not in _OLD:
        return [statement]
    if isinstance(statement.names, cst.ImportStar):
        return [statement.with_changes(module=_expression(renamed(module)))]
    found: dict[str, list[cst.ImportAlias]] = {}
    for alias in statement.names:
        old = f"{module}.{alias.evaluated_name}"
        place, _, name = renamed(old).rpartition(".")
        asname = alias.asname
        if asname is None and old in names.kept and name != alias.evaluated_name:
            asname = cst.AsName(cst.Name(alias.evaluated_name))
        new = alias.with_changes(name=cst.Name(name), asname=asname)
        found.setdefault(place, []).append(new)
    if len(found) == 1:
        ((place, aliases),) = found.items()
        return [statement.with_changes(module=_expression(place), names=aliases)]
    return [
        cst.ImportFrom(
            module=_expression(place),
            names=[a.with_changes(comma=cst.MaybeSentinel.DEFAULT) for a in aliases],
        )
        for place, aliases in found.items()
    ]


def _expression(dotted: str) -> cst.Name | cst.Attribute:
    start, dot, last = dotted.rpartition(".")
    return cst.Attribute(_expression(start), cst.Name(last)) if dot else cst.Name(last)


def _dotted(node: cst.Attribute, names: _Names) -> str | None:
    """Return what *node* means if it begins with something imported from FastStream."""
    if node in names.uses:
        return names.uses[node]
    match node.value:
        case cst.Attribute() as inner:
            start = _dotted(inner, names)
        case cst.Name() as name:
            start = names.uses.get(name)
        case _:
            return None
    return f"{start}.{node.attr.value}" if start is not None else None


class _Notes(cst.CSTVisitor):
    """Finds what behaves differently, and what Callboard does not have."""

    def __init__(self, names: _Names) -> None:
        super().__init__()
        self.findings: list[Finding] = []
        self._names = names

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        module = get_full_name_for_node(node.module) if node.module is not None else ""
        if not module or node.relative or module.split(".")[0] not in _OLD:
            return
        if isinstance(node.names, cst.ImportStar):
            self._say(node, "import the names that are used; * hides what has been renamed")
            return
        for alias in node.names:
            old = f"{module}.{alias.evaluated_name}"
            self._missing(node, renamed(old))
            self._name(node, old)

    def visit_Import(self, node: cst.Import) -> None:
        for alias in node.names:
            if alias.evaluated_name.split(".")[0] in _OLD:
                self._missing(node, renamed(alias.evaluated_name))

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if (old := _dotted(node, self._names)) is not None:
            self._name(node, old)

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        if "faststream" in node.value and '"""' not in node.value:
            self._say(node, "a text that names faststream stays as it is; is it a path of a name?")

    def visit_Call(self, node: cst.Call) -> None:
        called = (get_full_name_for_node(node.func) or "").rpartition(".")[2]
        given = {arg.keyword.value for arg in node.args if arg.keyword is not None}
        for difference in DIFFERENCES:
            if called and called == difference.call and self._fits(difference, given):
                self._say(node, difference.says)

    def _fits(self, difference: Difference, given: set[str]) -> bool:
        return (
            (not difference.has or difference.has in given)
            and difference.lacks not in given
            and (
                not difference.of
                or any(each.startswith(difference.of) for each in self._names.modules)
            )
        )

    def _name(self, node: cst.CSTNode, old: str) -> None:
        for difference in DIFFERENCES:
            if old.rpartition(".")[2] in difference.names:
                self._say(node, difference.says)

    def _missing(self, node: cst.CSTNode, new: str) -> None:
        if (reason := missing(new)) is not None:
            self._say(node, reason)

    def _say(self, node: cst.CSTNode, says: str) -> None:
        self.findings.append(Finding(self._names.line(node), says))


def missing(name: str) -> str | None:
    """Ask Callboard whether it has *name*, a module or a name of one; return why not."""
    if not name.startswith("callboard"):
        return f"Callboard has nothing in place of {name}"
    module, _, last = name.rpartition(".")
    try:
        import_module(name)
    except ImportError as no_module:
        if not module:
            return str(no_module)
        try:
            getattr(import_module(module), last)
        except ImportError as error:
            return str(error)
        except AttributeError as error:
            return str(no_module if name in LINES else error)
    return None
