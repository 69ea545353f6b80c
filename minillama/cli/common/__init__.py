"""What all commands share: options and what is made of them, output, streams, the terminal, a line editor."""
