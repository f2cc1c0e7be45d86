"""Text files: their encoding, and their text without what cannot be stored."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ErrorCode
from ingest.refusal import Refusal
from ingest.text import decode, read_text

MAX = 1_000_000


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Plain words.", "ascii"),
        ("Größe: 5 € – „schön“", "utf-8"),
        ("Größe: 5 € – „schön“", "utf-8-sig"),
        ("Größe: 5 €, 中文, 🎉", "utf-16"),
        ("Größe: 5 €, 中文, 🎉", "utf-32"),
        ("Le café est fermé à midi, et la façade coûte 5 £.", "cp1252"),
        ("El niño comió en la mañana, ¿verdad?", "cp1252"),
        ("Zażółć gęślą jaźń. To jest dokument po polsku.", "cp1250"),
        ("Привет, как дела? Это документ.", "cp1251"),
        ("これは日本語の文書です。", "cp932"),
        ("我们的文件说明了一切。", "gb18030"),
    ],
)
def test_text_is_decoded_as_it_was_written(text: str, encoding: str) -> None:
    decoded, named = decode(text.encode(encoding))
    assert decoded == text
    assert codecs.lookup(named).name == codecs.lookup("utf-8" if encoding == "ascii" else encoding).name


def test_a_damaged_utf8_file_keeps_all_its_good_letters() -> None:
    decoded, encoding = decode("Größe und Höhe über alles, ".encode() * 10 + b"\xff" + "schön".encode())
    assert encoding == "utf-8"
    assert decoded.endswith("alles, \ufffdschön")


def test_large_legacy_files_are_told_by_their_beginning() -> None:
    text = "Le café est fermé à midi.\r\n" * 80_000
    decoded, encoding = decode(text.encode("cp1252"))
    assert (decoded == text, encoding) == (True, "cp1252")


def test_line_ends_are_unified_and_unstorable_characters_dropped() -> None:
    page, _ = read_text(b"\xef\xbb\xbfone\r\ntwo\rthree\0\x07 four\x0cfive\tsix\n", MAX)
    assert page.text == "one\ntwo\nthree four\nfive\tsix\n"
    assert page.number is None


def test_markdown_and_spacing_are_kept_as_written() -> None:
    source = "# Title\n\n- *one*\n    - two  \n\n| a | b |\n|---|---|\n\ufb01ne\u00a0print\n"
    page, encoding = read_text(source.encode(), MAX)
    assert page.text == source
    assert (page.source_map, encoding) == ([(0, len(source), 0)], "utf-8")


@pytest.mark.parametrize("data", [b" \r\n\t \n", b"\xef\xbb\xbf", "\u2003\u00a0\n".encode(), b"\x1a"])
def test_a_file_of_white_space_is_empty(data: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_text(data, MAX)
    assert refused.value.code is ErrorCode.EMPTY


def test_more_text_than_allowed_is_too_large_and_exactly_as_much_is_not() -> None:
    assert read_text("é".encode() * 10, 10)[0].text == "é" * 10
    with pytest.raises(Refusal) as refused:
        read_text("é".encode() * 11, 10)
    assert (refused.value.code, refused.value.number) == (ErrorCode.TOO_LARGE, 10)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_the_source_map_leads_back_to_the_decoded_text(text: str) -> None:
    data = text.encode() + b"\nend"  # something visible, so that the file is not refused as empty
    original = decode(data)[0].replace("\r\n", "\n").replace("\r", "\n")
    page, _ = read_text(data, MAX)
    assert "\0" not in page.text
    covered = 0
    for start, end, at in page.source_map:
        assert start >= covered
        source = original[at : at + end - start]
        assert page.text[start:end] == source.translate(dict.fromkeys(map(ord, "\x0b\x0c\x85"), "\n"))
        covered = end
    assert covered == len(page.text)
