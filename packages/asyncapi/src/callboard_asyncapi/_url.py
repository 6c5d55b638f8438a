"""Tells what may be shown of a server's URL from what is secret.

A document is published. So only host and path are taken: user, password, and the whole query (where
clients put tokens and key files) stay behind, and a URL that can be read in two ways is refused.
No error shows the URL, since it holds the password.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from ._errors import DescriptorError


def host_and_path(url: str) -> tuple[str, str, str]:
    """Take scheme, host with port, and path out of *url*; each may be empty."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
    except ValueError:  # from None: its text may hold the password
        raise DescriptorError(
            "a server's URL cannot be read; write 'nats://localhost:4222'"
        ) from None
    # An unescaped '/', '?' or '#' in a password ends the authority early: a part would pass for the host.
    if "@" in parts.path + parts.query + parts.fragment:
        raise DescriptorError(
            "a server's URL has an '@' behind its host, so that the password cannot be told from the "
            "rest; percent-encode '/', '?', '#' and '@' in a password, and '@' in a path"
        )
    return parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/")
