"""One specification an operator or loss: cases, oracle, bad calls, a planted fault. Named after what it judges."""
