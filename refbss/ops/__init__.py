"""The law: one operator a file, forward and backward by hand, readable before fast."""
