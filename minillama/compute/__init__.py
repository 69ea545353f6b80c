"""How anything runs on this CPU: compiled kernels, threads, vector instructions."""
