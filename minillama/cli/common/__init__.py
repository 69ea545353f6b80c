"""What the commands share: options, texts that are given, how the command line talks and listens."""
