"""A document as text, in the order in which it was built."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ._errors import ExtraMissingError


def to_json(document: Mapping[str, Any]) -> str:
    """Write *document* as JSON, indented by two; letters beyond ASCII stay readable."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def to_yaml(document: Mapping[str, Any]) -> str:
    """Write *document* as YAML, without anchors.

    Raises:
        ExtraMissingError: PyYAML is not installed.
    """
    try:
        import yaml  # noqa: PLC0415 - an optional library, loaded by those who ask for YAML
    except ImportError as error:
        hint = 'pip install "callboard-asyncapi[yaml]", or use to_json()'
        raise ExtraMissingError(f"YAML needs PyYAML: {hint}") from error

    # By way of JSON no object stands in two places, for which YAML would write an anchor.
    return yaml.safe_dump(json.loads(to_json(document)), sort_keys=False, allow_unicode=True)
