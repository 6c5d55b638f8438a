"""Sphinx settings: pages in Markdown, the reference from the docstrings, every dead link an error."""

from __future__ import annotations

import importlib
from inspect import isclass, isfunction

from sphinx.application import Sphinx

project = "Callboard"
copyright = "the Callboard authors"
html_theme = "furo"
html_title = "Callboard"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# The template of decisions is copied, not read.
exclude_patterns = ["_build", "decisions/0000-template.md"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # an "Attributes:" section would document a record's fields twice

# A link to a public name of ours must lead somewhere. Links into other projects would need their
# inventories, hence the network; private names in signatures are mostly type variables.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!callboard).*"), ("py:.*", r"callboard[\w.]*\._.*")]
nitpick_ignore = [("py:class", "callboard.Message")]  # described as callboard_brokers.Message

# The type of an attribute is looked up by its last name: actors and the kit each have a Backoff.
suppress_warnings = ["ref.python"]

# A name that is public in two places is documented at the later one.
PUBLIC_MODULES = [
    "callboard.exceptions",
    "callboard.message",
    "callboard",
    "callboard.events",
    "callboard.extending",
    "callboard.idempotency",
    "callboard.instruments",
    "callboard.kafka",
    "callboard.nats",
    "callboard.outbox",
    "callboard.postgres",
    "callboard.rabbit",
    "callboard.redis",
    "callboard.redis.parser",
    "callboard.memory",
    "callboard.security",
    "callboard.specification",
    "callboard.testing",
    "callboard_actors.events",
    "callboard_actors",
    "callboard_actors.testing",
    "callboard_asyncapi",
    "callboard_brokers.conformance",
    "callboard_brokers.events",
    "callboard_brokers.kit",
    "callboard_brokers.kafka",
    "callboard_brokers.kafka.connection",
    "callboard_brokers.nats",
    "callboard_brokers.nats.connection",
    "callboard_brokers.rabbit",
    "callboard_brokers.redis",
    "callboard_brokers.redis.connection",
    "callboard_brokers.memory",
    "callboard_brokers",
    "callboard_di",
    "callboard_validation",
]


def name_the_public_places() -> None:
    """Let links lead to `callboard_actors.Mailbox`, not to the private module that defines it."""
    for name in PUBLIC_MODULES:
        module = importlib.import_module(name)
        for exported in module.__all__:
            value = getattr(module, exported)
            ours = getattr(value, "__module__", "").startswith("callboard")
            if ours and (isclass(value) or isfunction(value)):
                value.__module__ = name


name_the_public_places()


def read_signature(*event: object) -> tuple[str, object] | None:
    """Make a signature readable as Python: a dataclass shows a default that is made as <factory>.

    Options of RabbitMQ say which channel they mean, since a document has channels too.
    """
    *_, name, _, _, signature, returned = event
    if not isinstance(signature, str):
        return None
    signature = signature.replace("<factory>", "...")
    if str(name).startswith("callboard.rabbit"):
        signature = signature.replace(": Channel ", ": callboard_brokers.rabbit.Channel ")
    return signature, returned


def setup(app: Sphinx) -> None:
    """Connect the above; Sphinx calls this."""
    app.connect("autodoc-process-signature", read_signature)
