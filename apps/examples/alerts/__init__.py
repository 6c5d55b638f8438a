"""Alerts on RabbitMQ, routed by what and where."""
