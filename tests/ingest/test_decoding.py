"""Text files: their encoding, and their text without what cannot be stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ErrorCode
from ingest.refusal import Refusal
from ingest.text import decode, read_text

MAX = 1_000_000


WESTERN = {
    "English": "The landlord’s deposit is €500 – “payable” in advance. The tenant must give notice of three months.",
    "a price": "The price is €5 – “cheap”.",
    "signs": "Room temperature is 20 °C ± 2 (see § 4), © 2021 Smith™, ½ cup, 5 × 4…",
    "bullets": "• First item\r\n• Second item\r\n",
    "an English word": "We met at the café.",
    "capitals": "ICE CREAM À LA CARTE, CRÈME BRÛLÉE",
    "German": "Der Mieter muss die Kündigung drei Monate vorher erklären. Die Kaution beträgt 500 €.",
    "a German word": "Größe: 5 € – „schön“",
    "French": "Le café est fermé à midi, et la façade coûte 5 £. L’hôtel est près de l’école.",
    "a French word": "Noël",
    "Spanish": "El niño comió en la mañana, ¿verdad? ¡Qué día tan bonito!",
    "Italian": "La città è più bella di notte. Il deposito sarà restituito perché l’appartamento è pulito.",
    "Italian, short": "Il caffè è qui.",
    "Portuguese": "A caução será devolvida após a inspeção. Não é possível fazer alterações.",
    "Finnish": "Hyvää päivää, mitä kuuluu?",
    "Icelandic": "Það er mikilvægt að þrífa íbúðina áður en flutt er út.",
}
POLISH = "Najemca musi wypowiedzieć umowę trzy miesiące wcześniej. Zażółć gęślą jaźń."
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Dobrý den, jak se máte?"
HUNGARIAN = "A bérlőnek három hónappal előbb fel kell mondania a szerződést. Árvíztűrő tükörfúrógép."
RUSSIAN = "Арендатор обязан уведомить владельца за три месяца. О повреждениях сообщить немедленно."
GREEK = "Ο ενοικιαστής πρέπει να ειδοποιήσει τον ιδιοκτήτη τρεις μήνες πριν."
TURKISH = "İstanbul'da yağmur yağıyor, değil mi? Teşekkür ederim. Bütün hasarlar bildirilmelidir."
HEBREW = "על השוכר להודיע לבעל הדירה שלושה חודשים מראש."
ARABIC = "يجب على المستأجر إخطار المالك قبل ثلاثة أشهر من مغادرة الشقة."
LITHUANIAN = "Nuomininkas privalo pranešti savininkui prieš tris mėnesius. Užstatas grąžinamas pasibaigus nuomai."
JAPANESE = "借主は退去する三か月前までに貸主へ通知しなければならない。"
SIMPLIFIED, TRADITIONAL = "租客必须提前三个月通知房东。", "租客必須提前三個月通知房東。"
KOREAN = "임차인은 퇴거하기 세 달 전에 임대인에게 알려야 한다."
MAC_FRENCH = "Le locataire doit prévenir le propriétaire trois mois à l’avance. L’hôtel est près de la gare."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Plain words.", "ascii"),
        ("Größe: 5 € – „schön“", "utf-8"),
        ("Größe: 5 € – „schön“", "utf-8-sig"),
        ("Größe: 5 €, 中文, 🎉", "utf-16"),
        ("Größe: 5 €, 中文, 🎉", "utf-32"),
        *((text, "cp1252") for text in WESTERN.values()),
        *((text, encoding) for text in (POLISH, CZECH, HUNGARIAN) for encoding in ("cp1250", "iso8859-2")),
        *((RUSSIAN, encoding) for encoding in ("cp1251", "koi8-r", "cp866", "iso8859-5")),
        *((GREEK, "cp1253"), (GREEK, "iso8859-7"), (TURKISH, "cp1254"), (LITHUANIAN, "cp1257")),
        *((HEBREW, "cp1255"), (HEBREW, "iso8859-8"), (ARABIC, "cp1256"), (ARABIC, "iso8859-6")),
        *((JAPANESE, "cp932"), (JAPANESE, "euc_jp"), (KOREAN, "cp949"), (KOREAN, "euc_kr")),
        *((SIMPLIFIED, "gb18030"), (TRADITIONAL, "big5")),
        *((MAC_FRENCH, "mac-roman"), ("Der Käse ist größer als das Öl", "mac-roman")),
        *(("Привет, как дела?", "cp1251"), ("Москва", "cp1251"), ("Это слово: Привет, in English text", "cp1251")),
        *(("Dzień dobry, jak się masz?", "cp1250"), ("これは日本語です。", "cp932"), ("我们的文件。", "gb18030")),
    ],
)
@pytest.mark.parametrize("times", [1, 50])
def test_text_is_decoded_as_it_was_written(text: str, encoding: str, times: int) -> None:
    whole = "\r\n".join([text] * times)
    decoded, named = decode(whole.encode(encoding))
    assert decoded == whole
    # Of encodings that agree on this file, the larger or the more common one may be named.
    assert whole.encode(encoding) in (whole.encode(named), whole.encode(named)[3:])


@pytest.mark.parametrize("name", ["English", "German", "French", "Spanish", "Italian"])
def test_a_few_words_beyond_ascii_are_enough_wherever_they_stand(name: str) -> None:
    text = "The contract begins with many pages of plain English.\n" * 40_000 + WESTERN[name] + "\n"
    assert decode(text.encode("cp1252")) == (text, "cp1252")


@pytest.mark.parametrize(
    "data",
    [
        b"An English sentence with a stray \xff byte in it.",
        b"An English sentence with a stray by\xffte in it.",
        b"\xed\xa0\x80 broken utf8 \xff\xfe \xe2\x80\xa6",
        b"\xed\xa0\x80 broken utf8 \xff\xfe and a tail",
        "A naïve café".encode()[:-1] + b" lost half a letter.",
    ],
)
def test_stray_bytes_in_plain_text_are_replaced_and_not_read_as_another_alphabet(data: bytes) -> None:
    assert decode(data) == (data.decode("utf-8", errors="replace"), "utf-8")


def test_bytes_that_no_encoding_makes_sense_of_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        decode(b"\xff\xfd\x81" * 5)
    assert refused.value.code is ErrorCode.CORRUPT


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
