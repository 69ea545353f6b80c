"""The rules that decide about one text, each a function from a text to a `Decision`."""
