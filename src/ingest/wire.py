"""What the parser's process and its parent have agreed on.

The process writes frames to the socket that is its standard input: `LENGTH_BYTES` of length (big-endian), then that
much JSON, an object whose `kind` is `unconfined`, `opened`, `page`, `refused`, `failed` or `end`.
"""

from __future__ import annotations

LENGTH_BYTES = 4
OUT_OF_MEMORY = 71
"""The process's exit status where its memory limit is reached: it could not be sure to write a frame."""
