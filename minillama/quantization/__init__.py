"""Weights in fewer bits: the block formats, products with them, and their layout for the CPU."""
