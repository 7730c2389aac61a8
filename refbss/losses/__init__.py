"""Losses: the law. One loss a file, forward and backward side by side; references and mixtures are constants."""
