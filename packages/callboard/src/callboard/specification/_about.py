"""What may be said of an application: records, or the mappings that users of the vocabulary write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Required, TypeAlias, TypedDict, TypeVar

from callboard._errors import DeclarationError
from callboard_asyncapi import Contact, ExternalDocs, License, Tag

R = TypeVar("R", Contact, License, ExternalDocs)


class ContactDict(TypedDict, total=False):
    """A `Contact`, as a mapping."""

    name: str
    url: str
    email: str


class LicenseDict(TypedDict, total=False):
    """A `License`, as a mapping."""

    name: Required[str]
    url: str


class ExternalDocsDict(TypedDict, total=False):
    """`ExternalDocs`, as a mapping."""

    url: Required[str]
    description: str


class TagDict(TypedDict, total=False):
    """A `Tag`, as a mapping."""

    name: Required[str]
    description: str
    external_docs: ExternalDocs | ExternalDocsDict


Mapped: TypeAlias = ContactDict | LicenseDict | ExternalDocsDict | TagDict | Mapping[str, Any]


def record(kind: type[R], said: R | Mapped | None) -> R | None:
    """Make a record of what may be a mapping.

    Raises:
        DeclarationError: It has members that the record has not, or lacks one.
    """
    if said is None or isinstance(said, kind):
        return said
    return _made(kind, said)


def tag_of(said: Tag | Mapped | str) -> Tag:
    """Make a tag of what may be a mapping or a name.

    Raises:
        DeclarationError: It is neither.
    """
    if isinstance(said, Tag):
        return said
    members: Any = {"name": said} if isinstance(said, str) else dict(_mapping(Tag, said))
    docs = members.pop("externalDocs", None) or members.pop("external_docs", None)
    return _made(Tag, {**members, "external_docs": record(ExternalDocs, docs)})


T = TypeVar("T")


def _made(kind: type[T], said: object) -> T:
    try:
        return kind(**_mapping(kind, said))
    except TypeError as error:
        names = [each.name for each in fields(kind)]  # type: ignore[arg-type] # all of ours are
        raise DeclarationError(
            f"{said!r} is no {kind.__name__} of a document; it has {', '.join(names)}"
        ) from error


def _mapping(kind: type[Any], said: Any) -> Mapping[str, Any]:
    if not isinstance(said, Mapping):
        raise DeclarationError(f"{said!r} is no {kind.__name__} of a document, and no mapping")
    members: Mapping[str, Any] = said  # pyright: ignore[reportUnknownVariableType] - of whoever wrote it
    return members
