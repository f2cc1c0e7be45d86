"""The documents that are shipped: readable, in step with their source, and made of passages that answer questions."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from ingest.chunks import chunk_page
from ingest.pages import ParsedPage, ParserLimits
from ingest.parser import parse
from ingest.sniff import HEAD_BYTES, sniff

DEMO = Path(__file__).resolve().parents[2] / "demo"


async def pages_of(name: str) -> list[ParsedPage]:
    path = DEMO / name
    content_type = sniff(path.read_bytes()[:HEAD_BYTES], name)
    async with aclosing(parse(path, content_type, ParserLimits())) as events:
        return [event async for event in events if isinstance(event, ParsedPage)]


async def test_the_handbook_says_what_its_source_says() -> None:
    pages = await pages_of("colloquy-handbook.pdf")
    assert 6 <= len(pages) <= 10
    assert (DEMO / "colloquy-handbook.pdf").stat().st_size < 200_000
    said = " ".join(" ".join(page.text for page in pages).split())
    for block in (DEMO / "handbook.md").read_text(encoding="utf-8").split("\n\n"):
        for line in block.replace("`", "").splitlines():
            for part in re.sub(r"^(#+|-) ", "", line).strip("|").split(" | "):
                assert part.strip() in said, "build it anew: python demo/make_handbook.py"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("colloquy-handbook.pdf", "An access token is valid for 15 minutes."),
        ("colloquy-handbook.pdf", "The text is then cut into passages of about 500 characters."),
        ("colloquy-handbook.pdf", "The log of an answer is kept in Redis for one minute after the answer has ended."),
        ("security-and-tenancy.md", "Passwords are hashed with argon2id."),
        ("security-and-tenancy.md", "Colloquy uses three database roles: the owner, the application and the platform."),
        ("faq.txt", "A file may have up to 100 MiB, and a PDF up to 5,000 pages."),
        ("faq.txt", "The answer continues on the server."),
    ],
)
async def test_a_fact_stands_whole_in_one_passage(name: str, sentence: str) -> None:
    passages = [page.text[span.start : span.end] for page in await pages_of(name) for span in chunk_page(page.text)]
    assert any(sentence in passage for passage in passages)


def test_only_the_parsers_process_loads_what_reads_formats() -> None:
    code = (
        "import sys, ingest.parser, ingest.chunks, ingest.sniff, ingest.child;"
        "print([name for name in sys.modules if name.startswith(('pymupdf', 'fitz', 'lxml', 'mammoth'))])"
    )
    source = str(Path(sys.modules["ingest"].__path__[0]).parent)
    loaded = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"
