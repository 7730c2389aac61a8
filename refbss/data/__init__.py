"""Recordings, mixtures made on the fly, noise, the shipped voices and fixed evaluation sets."""
