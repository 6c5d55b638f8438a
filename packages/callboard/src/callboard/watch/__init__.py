"""What is told of what runs: events, log, observer, view."""
