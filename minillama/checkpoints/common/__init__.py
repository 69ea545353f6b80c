"""What every format shares: the checkpoint that is read, weights as stored, files of safetensors and torch.save."""
