"""Payments on Kafka, booked exactly once."""
