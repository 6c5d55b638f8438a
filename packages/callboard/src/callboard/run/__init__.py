"""From declarations to running children: connection, subscriptions, pump, lanes."""
