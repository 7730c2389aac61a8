"""Metrics and reports: how good a separation is, under named conventions."""
