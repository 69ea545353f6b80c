"""From texts to batches of tokens: reading, rules, duplicates, shards, batches."""
