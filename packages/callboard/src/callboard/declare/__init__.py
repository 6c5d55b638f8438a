"""Declarations: subscribers, publishers, routers and what they are told; nothing runs here."""
