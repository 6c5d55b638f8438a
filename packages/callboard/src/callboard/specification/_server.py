"""Where a broker is, and how one proves there who one is: never with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from callboard._broker import Broker
from callboard.security import BaseSecurity, NatsSecurity, NatsToken, NatsUserPassword
from callboard.specification._about import tag_of
from callboard_asyncapi import Server

_SCHEMES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "PLAIN": ("user-password", {"type": "userPassword"}),
    "SCRAM-SHA-256": ("scram256", {"type": "scramSha256"}),
    "SCRAM-SHA-512": ("scram512", {"type": "scramSha512"}),
    "OAUTHBEARER": ("oauthbearer", {"type": "oauth2", "flows": {}}),
    "EXTERNAL": ("rabbitmq-external", {"type": "X509"}),
}


def servers_of(broker: Broker[Any]) -> list[Server]:
    """Describe where *broker* is; one in this process has no server."""
    around = broker.slot.around
    kind, options = around.kind, around.options
    urls = options.specification_url or kind.urls or kind.url
    if not urls:
        return []
    protocol = options.protocol or kind.protocol or None
    scheme = _scheme(getattr(options, "security", None))
    return [
        replace(
            Server.from_url(url, protocol=protocol),
            protocol_version=options.protocol_version or kind.protocol_version or None,
            description=options.description,
            tags=[tag_of(each) for each in options.tags],
            security=scheme,
        )
        for url in ([urls] if isinstance(urls, str) else urls)
    ]


def _scheme(security: BaseSecurity | None) -> dict[str, Mapping[str, Any]]:
    match security:
        case NatsUserPassword():
            return dict([_SCHEMES["PLAIN"]])
        case NatsToken():
            return {"nats-token": {"type": "apiKey", "in": "password"}}
        case NatsSecurity() if security.proof:
            return {"nats-key": {"type": "asymmetricEncryption"}}
        case BaseSecurity(mechanism=str(mechanism)) if mechanism in _SCHEMES:
            return dict([_SCHEMES[mechanism]])
        case _:
            return {}
