"""`minillama bench`: speed and quality, beside the peers."""
