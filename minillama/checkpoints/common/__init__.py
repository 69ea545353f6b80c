"""What every format shares: the checkpoint that reading gives, weights as stored, files of safetensors and torch.save."""
