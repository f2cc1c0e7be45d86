"""Builds demo/colloquy-handbook.pdf from demo/handbook.md: `python demo/make_handbook.py`.

Knows the Markdown that the handbook uses: headings, paragraphs, lists, tables of two columns, `code`.
"""

from __future__ import annotations

import html
import io
import re
from pathlib import Path

import pymupdf

FOLDER = Path(__file__).resolve().parent
PAGE = pymupdf.paper_rect("a4")
BODY = pymupdf.Rect(PAGE.x0 + 64, PAGE.y0 + 70, PAGE.x1 - 64, PAGE.y1 - 72)  # points
STYLE = """
body { margin: 0; font-family: sans-serif; font-size: 10.5pt; line-height: 1.42; color: #1d2530; }
h1 { font-size: 26pt; margin: 0 0 12pt 0; color: #123a63; line-height: 1.1; }
h2 { font-size: 16pt; margin: 0 0 7pt 0; color: #123a63; line-height: 1.2; }
h3 { font-size: 11.5pt; margin: 11pt 0 3pt 0; color: #25618f; line-height: 1.2; }
p { margin: 0 0 7pt 0; }
ul { margin: 0 0 7pt 0; }
li { margin: 0 0 3pt 0; }
table { margin: 4pt 0 9pt 0; }
td, th { padding: 3pt 12pt 3pt 4pt; text-align: left; border-bottom: 0.5pt solid #b9c6d3; }
code { font-family: monospace; font-size: 9.5pt; }
"""


def main() -> None:
    buffer = io.BytesIO()
    writer = pymupdf.DocumentWriter(buffer)
    for chapter in chapters((FOLDER / "handbook.md").read_text(encoding="utf-8")):
        story = pymupdf.Story(to_html(chapter), user_css=STYLE)
        more = True
        while more:
            device = writer.begin_page(PAGE)
            more, _ = story.place(BODY)
            story.draw(device)
            writer.end_page()
    writer.close()
    document = pymupdf.open(stream=buffer.getvalue(), filetype="pdf")
    for page in document:
        footer = f"The Colloquy Handbook · page {page.number + 1} of {document.page_count}"
        page.insert_text((BODY.x0, PAGE.y1 - 40), footer, fontname="helv", fontsize=8, color=(0.4, 0.45, 0.5))
    document.subset_fonts()
    document.set_metadata({"title": "The Colloquy Handbook", "author": "The Colloquy project"})
    document.save(FOLDER / "colloquy-handbook.pdf", garbage=4, deflate=True, deflate_fonts=True, no_new_id=True)


def chapters(markdown: str) -> list[str]:
    """Each begins on a page of its own; the first stays with the title."""
    title, *rest = re.split(r"\n(?=## )", markdown)
    return [f"{title}\n{rest[0]}", *rest[1:]]


def to_html(markdown: str) -> str:
    blocks = [block.strip() for block in markdown.split("\n\n") if block.strip()]
    return "".join(_block(block) for block in blocks)


def _block(block: str) -> str:
    heading = re.match(r"(#{1,3}) (.*)", block)
    if heading:
        level = len(heading.group(1))
        return f"<h{level}>{_inline(heading.group(2))}</h{level}>"
    if block.startswith("- "):
        return "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in block.splitlines()) + "</ul>"
    if block.startswith("|"):
        return "<table>" + "".join(_row(index, line) for index, line in enumerate(block.splitlines())) + "</table>"
    return f"<p>{_inline(block)}</p>"


def _row(index: int, line: str) -> str:
    tag = "td" if index else "th"
    return "<tr>" + "".join(f"<{tag}>{_inline(cell.strip())}</{tag}>" for cell in line.strip("|").split("|")) + "</tr>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))


if __name__ == "__main__":
    main()
