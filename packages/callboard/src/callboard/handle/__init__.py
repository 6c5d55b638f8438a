"""The life of a message: worker, pipeline, outcome, output, finish, dead letter."""
