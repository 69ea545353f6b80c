"""The layers of a Llama, one file each: arrays in, arrays out."""
