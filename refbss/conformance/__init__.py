"""Conformance: the golden vectors, and the judgement of other people's implementations by them."""
