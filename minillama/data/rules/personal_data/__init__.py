"""Personal data: finding it by numbering rules, checksums and the words around it."""
