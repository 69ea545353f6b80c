"""Harmful content: a word list and a small classifier."""
