"""Following an answer: what its viewers in this process share, and each one's way through it."""
