"""Models: compositions of an engine's operators, with their configurations and parameters."""
