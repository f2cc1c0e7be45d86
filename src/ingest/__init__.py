"""File -> pages -> chunks: pure functions, and the parser that runs in a process of its own."""
