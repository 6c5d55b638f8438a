"""What can go wrong while a document is described or written.

AsyncApiError
├── DescriptorError      a descriptor contradicts itself
├── DocumentError        what should be a document is none
├── VersionError         there is no such document (also a NotImplementedError)
└── ExtraMissingError    an optional library is not installed (also an ImportError)
"""

from __future__ import annotations


class AsyncApiError(Exception):
    """Root of the errors of this package."""


class DescriptorError(AsyncApiError):
    """A descriptor contradicts itself; the text says in what, and what to do."""


class DocumentError(AsyncApiError):
    """What should be a document is none; the text says why."""


class VersionError(AsyncApiError, NotImplementedError):
    """A version of AsyncAPI that is not written or not read here; the text names those that are."""


class ExtraMissingError(AsyncApiError, ImportError):
    """An optional library is not installed; the text names the extra that brings it."""
