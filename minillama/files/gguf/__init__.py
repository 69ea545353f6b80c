"""The GGUF container: key-values and named tensors, without a word about models."""
