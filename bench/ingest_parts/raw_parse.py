"""The peer of reading: PyMuPDF alone, in a process of its own, as a file of a stranger's has to be read.

python -m ingest_parts.raw_parse FILE    prints how many characters it has
"""

from __future__ import annotations

import sys

import pymupdf

if __name__ == "__main__":
    with pymupdf.open(sys.argv[1]) as document:
        print(sum(len(page.get_text()) for page in document))
