"""Ships that call at ports, on NATS."""
