"""Training: gradients of a batch, AdamW, schedules, and the run around them."""
