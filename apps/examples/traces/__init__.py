"""Two services, two brokers, and one trace through all of them."""
