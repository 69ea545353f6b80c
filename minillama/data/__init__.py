"""From texts to batches of tokens: reading, filtering, tokenizing, mixing."""
