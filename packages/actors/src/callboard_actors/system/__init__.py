"""Actors: the loop that serves one, and a system in which they find and tell each other."""
