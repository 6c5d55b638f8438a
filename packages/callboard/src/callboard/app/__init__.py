"""Applications: brokers, hooks around their life, and one deadline for the end of it all."""
