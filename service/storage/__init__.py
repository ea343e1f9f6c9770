"""What the service keeps on disk: checkpoints of every model."""
