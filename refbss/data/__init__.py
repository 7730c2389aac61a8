"""Recordings and mixtures, made on the fly or ready made, noise, the shipped voices and fixed evaluation sets."""
