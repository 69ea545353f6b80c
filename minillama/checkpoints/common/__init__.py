"""What every format shares: the checkpoint that reading gives, weights as stored, the safetensors container."""
