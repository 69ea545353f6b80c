"""Byte-pair encoding: text to ids and back, in the two kinds that Llamas use; learning a vocabulary."""
