"""One spelling of every word, in lexemes and in questions."""

from __future__ import annotations

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import Settings
from datastores.lexical import searchable_text

SAME = [
    ("café", "cafe\u0301"),
    ("Ångström", "A\u030angstro\u0308m"),
    ("room 123 ABC", "room １２３ ＡＢＣ"),
    ("ガイド", "ｶﾞｲﾄﾞ"),
    ("سلام", "\ufeb3\ufefc\ufee1"),
    ("مرحبا", "مرحـــبا"),
    ("STRASSE", "straße"),
    ("ΟΔΟΣ", "οδος"),
    ("ПРИВЕТ", "привет"),
    ("first office", "\ufb01rst o\ufb03ce"),
    ("cooperation", "co\u00adoper\u00adation"),
    ("می\u200cخواهم", "میخواهم"),
    ("\u200fשלום\u200e", "שלום"),
    ("한국어", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
async def test_a_word_is_found_however_it_was_typed(settings: Settings, one: str, other: str) -> None:
    connection = await asyncpg.connect(settings.database_owner_url)
    try:
        for stored, asked in ((one, other), (other, one)):
            text, question = searchable_text(f"There is {stored} in it."), searchable_text(asked)
            statement = "SELECT chunk_lexemes($1) @@ lexical_query($2)"
            assert await connection.fetchval(statement, text, question), (text, question)
            assert not await connection.fetchval(statement, text, "zebra")
    finally:
        await connection.close()


def test_thai_words_that_are_marked_are_cut_there() -> None:
    assert searchable_text("สวัสดี\u200bครับ").split() == searchable_text("สวัสดี ครับ").split()


def test_unspaced_scripts_are_pairs() -> None:
    assert searchable_text("検索する").split() == ["検索", "索す", "する"]


@given(st.text())
def test_no_word_is_longer_than_a_lexeme_may_be(text: str) -> None:
    words = searchable_text(text * 500).split()
    assert max((len(word.encode()) for word in words), default=0) < 2047
