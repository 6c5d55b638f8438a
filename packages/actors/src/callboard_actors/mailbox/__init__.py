"""Where messages wait: bounded queues, lanes by key, and their readers."""
