"""A broker inside of a web application, and of a plain script."""
