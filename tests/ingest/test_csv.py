"""CSV files, read as the product reads them: a row is understood by itself, and quoted whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reading import read, refusal, text_of

from answers.quotes import best_quote
from core.errors import ErrorCode
from ingest.chunks import chunk_page
from ingest.pages import ParserLimits
from ingest.sniff import ContentType

Stored = Callable[[bytes], Path]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("name,age\nAda,36\nBob,\n", "name: Ada\tage: 36\nname: Bob"),
        (
            "name;price;town\nAda;36,5;Basle, old town\nBob;2,0;Bonn\n",
            "name: Ada\tprice: 36,5\ttown: Basle, old town\nname: Bob\tprice: 2,0\ttown: Bonn",
        ),
        ("name\tage\nAda\t36\n", "name: Ada\tage: 36"),
        ("name|age\r\nAda|36\r\n\r\n", "name: Ada\tage: 36"),
        ('name,"said, so"\n"Ada ""the"" first","one\ntwo\tthree"\n', 'name: Ada "the" first\tsaid, so: one two three'),
        ("sep=;\nname;tags\nAda;a,b\n", "name: Ada\ttags: a,b"),
        ("1,2\n3,4\n", "1\t2\n3\t4"),
        ("name,age\n", "name\tage"),
        ("name,name\nAda,Bob\n", "name\tname\nAda\tBob"),
        (
            "name,age\nAda,36,extra\nBob\n" + "Cid,7\n" * 9,
            "name: Ada\tage: 36\textra\nname: Bob\n" + "\n".join(["name: Cid\tage: 7"] * 9),
        ),
        ("One sentence, then\nanother one. And, so, on.\n", "One sentence, then\nanother one. And, so, on.\n"),
        ("only one column\nof lines\n", "only one column\nof lines\n"),
    ],
    ids=[
        *("commas", "semicolons", "tabs", "bars", "quotes", "named delimiter", "no names", "names alone", "same names"),
        *("uneven", "prose", "one column"),
    ],
)
async def test_each_row_is_a_line_with_its_names(stored: Stored, written: str, said: str) -> None:
    assert await text_of(stored(written.encode()), ContentType.CSV) == said


async def test_old_encodings_are_told(stored: Stored) -> None:
    opened, [page] = await read(stored("Größe;Straße\nfünf;Hauptstraße\n".encode("cp1252")), ContentType.CSV)
    assert (opened.encoding, page.text) == ("cp1252", "Größe: fünf\tStraße: Hauptstraße")


async def test_a_quotation_is_a_whole_row(stored: Stored) -> None:
    rows = [f"Item no. {n}. Blue,{n * 7} euros,Shelf {n}. On the left. Ask first!" for n in range(400)]
    _, [page] = await read(stored(("article,price,where it is\n" + "\n".join(rows)).encode()), ContentType.CSV)
    lines = page.text.split("\n")
    assert lines[17] == "article: Item no. 17. Blue\tprice: 119 euros\twhere it is: Shelf 17. On the left. Ask first!"
    passages = [page.text[span.start : span.end] for span in chunk_page(page.text)]
    for passage in passages:
        assert set(passage.split("\n")) <= set(lines), "rows are not cut"
    [passage] = [passage for passage in passages if "119 euros" in passage][:1]
    assert best_quote([passage], "The price of article no. 17 is 119 euros.") == (0, lines[17])


@pytest.mark.parametrize(
    ("written", "code", "words"),
    [
        (b"\n , ,\n,,\n", ErrorCode.EMPTY, "CSV file is empty"),
        (b"\xff\xfd\x81" * 5, ErrorCode.CORRUPT, "encoding of this CSV file"),
        (b"n" * 1_000 + b",b\n" + b"1,2\n" * 50, ErrorCode.TOO_LARGE, "20,000 characters"),
        (b"x" * 20_001, ErrorCode.TOO_LARGE, "20,000 characters"),
    ],
    ids=["blank", "no encoding", "long names", "long"],
)
async def test_a_file_that_cannot_be_read_has_its_own_reason(
    stored: Stored, written: bytes, code: ErrorCode, words: str
) -> None:
    error = await refusal(stored(written), ContentType.CSV, ParserLimits(max_chars=20_000))
    assert (error.code, error.retryable) == (code, False)
    assert words in error.message


@pytest.mark.parametrize(
    "written",
    [
        '"' + "x,\n" * 1_000_000,
        "," * 2_000_000 + "a",
        "1,2\n" * 300_000,
        '"' * 1_000_000,
        "\r" * 1_000_000 + "a,b",
    ],
    ids=["open quote", "columns", "rows", "quotes", "returns"],
)
async def test_rows_made_to_be_expensive_are_read_in_time(stored: Stored, written: str) -> None:
    path = stored(("a,b\n" + written + "\nend,end").encode())
    _, [page] = await read(path, ContentType.CSV, ParserLimits(wall_seconds=10))
    assert page.text.rstrip('"').endswith("end")
