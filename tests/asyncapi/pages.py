"""Documents to make pages of."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

ORDER: Json = {
    "title": "Order",
    "type": "object",
    "description": "What is *wanted*.",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer", "minimum": 1, "examples": [7]},
        "country": {"type": "string", "pattern": "^[A-Z]{2}$", "minLength": 2, "maxLength": 2},
        "items": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Item"}},
        "status": {"enum": ["new", "paid"], "default": "new"},
    },
}
ITEM: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "deprecated": True},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
    },
}


def shop(**components: Json) -> Json:
    """Return a document of version 3 in which orders are received and answered."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Shop", "version": "1.2.0", "description": "Takes **orders**."},
        "servers": {"main": {"host": "localhost:4222", "protocol": "nats"}},
        "channels": {
            "orders": {
                "address": "orders.{country}",
                "parameters": {"country": {"enum": ["de", "fr"], "description": "Where to."}},
                "messages": {"Order": {"$ref": "#/components/messages/Order"}},
            },
            "answers": {"address": None, "messages": {"Text": {"payload": {"type": "string"}}}},
        },
        "operations": {
            "onOrder": {
                "action": "receive",
                "channel": {"$ref": "#/channels/orders"},
                "bindings": {"nats": {"queue": "workers"}},
                "reply": {
                    "address": {"location": "$message.header#/reply_to"},
                    "channel": {"$ref": "#/channels/answers"},
                },
            }
        },
        "components": {
            "messages": {"Order": {"payload": {"$ref": "#/components/schemas/Order"}}},
            "schemas": {"Order": ORDER, "Item": ITEM, **components},
        },
    }


def old_shop() -> Json:
    """Return the same in version 2.6, without the answer."""
    new = shop()
    message: Json = {"messageId": "Order", **new["components"]["messages"]["Order"]}
    parameters: Json = {"country": {"schema": {"type": "string", "enum": ["de", "fr"]}}}
    return {
        "asyncapi": "2.6.0",
        "info": new["info"],
        "servers": {"main": {"url": "nats://localhost:4222", "protocol": "nats"}},
        "channels": {
            "orders.{country}": {
                "parameters": parameters,
                "publish": {
                    "operationId": "onOrder",
                    "message": {"$ref": "#/components/messages/Order"},
                },
            }
        },
        "components": {"messages": {"Order": message}, "schemas": new["components"]["schemas"]},
    }
