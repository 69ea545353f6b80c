"""Checkpoints: reading, writing, finding and fetching weights in every format."""
