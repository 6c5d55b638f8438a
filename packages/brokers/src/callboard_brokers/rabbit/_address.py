"""Where a server is, put together of an address and of what is said beside it."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from callboard_brokers._errors import DestinationError


def located(
    url: str,
    host: str | None = None,
    port: int | None = None,
    user: tuple[str, str] | None = None,
    *,
    encrypted: bool = False,
) -> tuple[str, str]:
    """Return *url* with the rest, which comes before what it says: without and with the password.

    Raises:
        DestinationError: It is no address of a RabbitMQ.
    """
    given = urlsplit(url)
    secret, at, _ = given.netloc.rpartition("@")
    try:
        place, number = host or given.hostname, port or given.port
    except ValueError:
        place = number = None
    if given.scheme not in {"amqp", "amqps"} or not place:
        raise DestinationError(
            "the url of a RabbitMQ is amqp://user:password@host:5672/virtualhost, or amqps: with"
            f" TLS; this one begins with {given.scheme or url.partition('@')[2] or url!r}"
        )
    place = f"[{place}]" if ":" in place else place
    place = place if number is None else f"{place}:{number}"
    if user is not None:
        secret, at = ":".join(quote(each, "") for each in user), "@"
    scheme = "amqps" if encrypted else given.scheme
    rest = given.path, given.query, ""
    return urlunsplit((scheme, place, *rest)), urlunsplit((scheme, f"{secret}{at}{place}", *rest))
