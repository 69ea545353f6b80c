"""Token shards: a data set as token ids on disk."""
