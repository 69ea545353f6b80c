"""The files that tokenizers are stored in: read and written side by side."""
