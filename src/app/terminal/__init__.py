"""The terminal client: `colloquy ask`, on the same public API as every other client, and on nothing else of ours."""
