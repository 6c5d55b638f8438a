"""The AsyncAPI document of what was declared: channels, operations, messages with their schemas."""

from __future__ import annotations

from callboard._absent import tells
from callboard_asyncapi import Contact, ExternalDocs, License, Tag

from ._about import ContactDict, ExternalDocsDict, LicenseDict, TagDict
from ._document import AsyncAPI, Specification

__all__ = [
    "AsyncAPI",
    "Contact",
    "ContactDict",
    "ExternalDocs",
    "ExternalDocsDict",
    "License",
    "LicenseDict",
    "Specification",
    "Tag",
    "TagDict",
]

tells(globals())
