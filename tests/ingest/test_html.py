"""HTML, read as the product reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reading import read, refusal, text_of

from core.errors import ErrorCode
from ingest.pages import ParserLimits
from ingest.sniff import ContentType

Stored = Callable[[bytes], Path]

PAGE = """<!DOCTYPE html>
<html><head><title>Harbour Library</title><style>p { color: red }</style><script>var x = "<p>no</p>";</script></head>
<body><nav><a href="/">Home</a><a href="/about">About us</a></nav>
<h1>Harbour Library</h1>
<p>The <b>cellar</b> is open from
   nine&nbsp;to six &ndash; on Saturdays, too.<br>Caf&eacute; &amp; bar: no &unknown; rule.</p>
<h2>Rules</h2>
<ul><li>No food<li>No <i>dogs</i>, except<ul><li>guide dogs</ul></ul>
<ol start="4"><li><p>Fourth</p><p>still fourth</p><li>Fifth</ol>
<table><caption>Fees</caption><tr><th>Card<th>Price
<tr><td rowspan="2">Adult<td>12 <b>euros</b><br>a year<tr><td>1 euro a day</table>
<pre>first
  second</pre>
<p hidden>hidden one</p><div style="display: none">hidden two</div><noscript>Switch scripts on</noscript>
<footer>Plane Tree Square 12</footer></body></html>"""

SAID = """Harbour Library

The cellar is open from nine to six – on Saturdays, too.
Café & bar: no &unknown; rule.

Rules

- No food
- No dogs, except
  - guide dogs

4. Fourth
still fourth
5. Fifth

Fees

Card\tPrice
Adult\t12 euros a year
Adult\t1 euro a day

first
  second

Plane Tree Square 12"""


async def test_a_page_says_what_a_reader_of_it_sees(stored: Stored) -> None:
    assert await text_of(stored(PAGE.encode()), ContentType.HTML) == SAID


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        ("<p>one<p>two<div>three<p>four</div>five", "one\n\ntwo\n\nthree\n\nfour\n\nfive"),
        ("<p>un<b>closed <i>and</b> crossed</i> </span></td> here", "unclosed and crossed here"),
        ("<h1>A</h1><table><tr><td><h2>News</h2><p>First.<td><p>Second.</table>", "A\n\nNews\n\nFirst.\n\nSecond."),
        ("<table><tr><td>" + "x" * 1_001 + "<td>menu</table>", "x" * 1_001 + "\n\nmenu"),
        ("<table><tr><td>a<table><tr><td>b<td>c</table><td>d</table>", "a\n\nb\tc\n\nd"),
        ("<td>stray<tr>cells<td>here", "stray\n\ncells\n\nhere"),
        ("<table><tr><td>a<td><td>c<tr><td></table>", "a\t\tc"),
        ("<p>soft&shy;ware &#x41;&#66;&lt;p&gt; &nbsp; wide", "software AB<p> wide"),
        ("<p>nul\0 and \x0b control \x01 and \ud7ff", "nul\ufffd and \n control  and \ud7ff"),
        ("<title>Only a title</title><p>and text", "Only a title\n\nand text"),
        ("<svg><title>no</title><text>no</text></svg><p>after<img alt=no src=x>", "after"),
        ("<!-- a comment --><p>before<script>if (a</b>) '</p>'</script> after", "before after"),
        ("<dl><dt>Term<dd>Meaning</dl>", "Term\n\nMeaning"),
        ("<nav>open for ever", None),
    ],
)
async def test_markup_becomes_lines(stored: Stored, markup: str, said: str | None) -> None:
    path = stored(("<!DOCTYPE html>" + markup).encode())
    if said is None:
        assert (await refusal(path, ContentType.HTML)).code is ErrorCode.EMPTY
    else:
        assert await text_of(path, ContentType.HTML) == said


RUSSIAN = "Арендатор обязан уведомить владельца за три месяца. О повреждениях сообщить немедленно."


@pytest.mark.parametrize(
    ("declared", "written", "text", "found"),
    [
        ("utf-8", "utf-8", "Größe: 5 €", "utf-8"),
        ("iso-8859-1", "utf-8", "Größe: 5 €", "utf-8"),
        ("iso-8859-1", "cp1252", "“Größe”: 5 €", "cp1252"),
        ("utf-8", "cp1252", "Der Mieter muss die Kündigung drei Monate vorher erklären.", "cp1252"),
        ("windows-1252", "cp1251", RUSSIAN, "cp1251"),
        ("koi8-r", "koi8-r", RUSSIAN, "koi8-r"),
        ("iso-8859-15", "iso8859-15", "Prix : 5 € à l’œil, façade".replace("’", "'"), "iso8859-15"),
        ("no-such-thing", "utf-8", "Größe", "utf-8"),
        ("base64", "cp1252", "Die Größe der schönen Höfe", "cp1252"),
        ("utf-8", "utf-16", "Größe", "utf-16"),
    ],
)
async def test_the_declared_charset_is_a_hint(
    stored: Stored, declared: str, written: str, text: str, found: str
) -> None:
    page = f'<!DOCTYPE html><html><head><meta charset="{declared}"></head><body><p>{text}</p></body></html>'
    opened, [read_page] = await read(stored(page.encode(written)), ContentType.HTML)
    assert (read_page.text, opened.encoding) == (text, found)


async def test_xhtml_closes_what_html_would_leave_open(stored: Stored) -> None:
    page = (
        '<?xml version="1.0" encoding="iso-8859-1"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
        '"http://127.0.0.1:1/xhtml1.dtd"><html xmlns="http://www.w3.org/1999/xhtml"><head><title/>'
        '<script src="x.js"/></head><body><p>Gr&ouml;&szlig;e &lt; <a id="x"/>5 & mehr</p></body></html>'
    )
    assert await text_of(stored(page.encode()), ContentType.HTML) == "Größe < 5 & mehr"


@pytest.mark.parametrize(
    ("page", "code", "words"),
    [
        ("<!DOCTYPE html><html><body><img src='scan.png'></body></html>", ErrorCode.NO_TEXT, "pictures alone"),
        ("<!DOCTYPE html><div id=app></div><script src=app.js></script>", ErrorCode.NO_TEXT, "Print it to PDF"),
        ("<!DOCTYPE html><html><body><p> &nbsp; </p></body></html>", ErrorCode.EMPTY, "HTML page is empty"),
        ("<html>", ErrorCode.EMPTY, "HTML page is empty"),
        (
            '<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
            '<html xmlns="http://www.w3.org/1999/xhtml"><body>&b;</body></html>',
            ErrorCode.CORRUPT,
            "entities of its own",
        ),
    ],
    ids=["picture", "program", "blank", "nothing", "entities"],
)
async def test_a_page_that_cannot_be_read_has_its_own_reason(
    stored: Stored, page: str, code: ErrorCode, words: str
) -> None:
    error = await refusal(stored(page.encode()), ContentType.HTML)
    assert (error.code, error.retryable) == (code, False)
    assert words in error.message


async def test_bytes_in_no_encoding_are_a_damaged_page(stored: Stored) -> None:
    error = await refusal(stored(b"<html><p>" + b"\xff\xfd\x81" * 5), ContentType.HTML)
    assert error.code is ErrorCode.CORRUPT
    assert "UTF-8" in error.message


async def test_more_text_than_allowed_is_too_large_however_it_is_made(stored: Stored) -> None:
    limits = ParserLimits(max_chars=2_000)
    assert (await refusal(stored(b"<html>" + b"<p>word" * 500), ContentType.HTML, limits)).code is ErrorCode.TOO_LARGE
    # A cell that is repeated in a thousand rows.
    spanning = b"<html><table><tr><td rowspan=1000>" + b"x" * 900 + b"<tr><td>y" * 1_000
    error = await refusal(stored(spanning), ContentType.HTML, limits)
    assert (error.code, "2,000 characters" in error.message) == (ErrorCode.TOO_LARGE, True)


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 200_000 + "end",
        "<b><i><a>" * 50_000 + "end",
        "<ul><li>" * 50_000 + "end",
        "<table><tr><td>" * 20_000 + "end",
        "<p title='" + "x" * 12_000_000 + "'>end",
        "<p " + " ".join(f"a{n}=1" for n in range(100_000)) + ">end",
        "<!--" + "x" * 12_000_000 + "-->end",
        "<p>&" + "x" * 2_000_000 + "<p>end",
        "<a href='&#" + "9" * 1_000_000 + ";'>end",
        "<" * 1_000_000 + "<p>end",
    ],
    ids=["depth", "inline", "lists", "tables", "attribute", "attributes", "comment", "entity", "number", "brackets"],
)
async def test_markup_made_to_be_expensive_is_read_in_time(stored: Stored, page: str) -> None:
    _, [found] = await read(stored(b"<html>" + page.encode()), ContentType.HTML, ParserLimits(wall_seconds=10))
    assert found.text.endswith("end")


async def test_a_page_that_takes_too_long_is_stopped(stored: Stored) -> None:
    error = await refusal(
        stored(b"<html>" + b"<p>a<b>b</b>" * 3_000_000), ContentType.HTML, ParserLimits(wall_seconds=0.8)
    )
    assert (error.code, error.retryable) == (ErrorCode.TIMED_OUT, True)


async def test_a_page_that_takes_all_memory_is_stopped(stored: Stored) -> None:
    limits = ParserLimits(memory_bytes=48 * 1024 * 1024)
    error = await refusal(stored(b"<html><p>" + b"word " * 8_000_000), ContentType.HTML, limits)
    assert error.code is ErrorCode.TOO_LARGE
    assert "memory" in error.message
