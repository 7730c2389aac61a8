"""Training: configuration, optimiser, schedule, batch shards, checkpoints and the loop."""
