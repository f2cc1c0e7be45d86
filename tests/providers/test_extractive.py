"""The local answerer on passages such as chunks of real documents are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import ProviderError
from providers.base import ChatFinished, ChatMessage, ChatRequest, ContextPassage, StopReason, TextDelta
from providers.extractive import REFUSAL, ExtractiveChat
from providers.minilm import MiniLmEmbeddings

HANDBOOK = (
    "## Annual leave\n\nFull-time staff receive 27 days of paid annual leave, in addition to public holidays. Up to "
    "five unused days can be carried over, but they must be taken before 31 March of the following year. Requests are "
    "made in the staff portal at least two weeks ahead."
)
MUSEUM = (
    "The last keeper, Angus Muir, left the station in 1988, when the\nlight was automated. He had served there for "
    "thirty-one years\nand kept bees in the walled garden. The museum is open from April to October, every\nday except "
    "Tuesday. Admission is 6 pounds for adults and free for children\nunder twelve."
)
MACHINE = (
    "Troubleshooting\n- Coffee comes out too slowly: the grind is too fine or the sieve is blocked.\n- Red light "
    "blinks: the water tank is empty.\n\nTechnical data\nPower: 1450 W\nWeight: 6.2 kg\nWarranty: 24 months from the "
    "date of purchase\n"
)
API = (
    "## Errors\n\n| Code | Meaning |\n|------|---------|\n| 401 | The key is missing or revoked. |\n"
    "| 404 | The shipment does not exist or belongs to another account. |\n\n"
    "## Rate limits\n\nEach key may make 120 requests per minute.\n\n"
    '```python\nclient.post("/shipments", json={"weight_grams": 900})\n```\n'
)
REPORT = (
    "Production\nThe new kiln in Leskov started up in March and uses 30 percent less gas per square metre than the one "
    "it replaced. It cost 18.5 million dollars. Production at the Tarvin plant stopped for eleven days in August "
    "because of a flood."
)
EVERYTHING = (HANDBOOK, MUSEUM, MACHINE, API, REPORT)
NAMES = ("handbook.md", "lighthouse.txt", "coffee_machine.txt", "parcel_api.md", "annual_report.txt")


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def chat(cache_dir: Path) -> AsyncIterator[ExtractiveChat]:
    embeddings = MiniLmEmbeddings(cache_dir)
    yield ExtractiveChat(embeddings, token_interval_ms=0)
    await embeddings.aclose()


def request(question: str, *texts: str, names: tuple[str, ...] = ()) -> ChatRequest:
    passages = tuple(
        ContextPassage(number, names[number - 1] if names else f"document {number}.txt", None, text)
        for number, text in enumerate(texts, 1)
    )
    return ChatRequest("extractive-1", 0.0, "", (), question, passages)


async def answer(chat: ExtractiveChat, question: str, *texts: str, names: tuple[str, ...] = ()) -> str:
    events = [event async for event in chat.stream(request(question, *texts, names=names))]
    assert isinstance(events[-1], ChatFinished)
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def quotations(text: str) -> list[tuple[str, int]]:
    """The quoted sentences and the passage that each names."""
    found = re.findall(r"(.+?) \[(\d+)\](?: |$)", text)
    assert " ".join(f"{quote} [{number}]" for quote, number in found) == text
    return [(quote, int(number)) for quote, number in found]


@pytest.mark.parametrize(
    ("question", "expected", "number"),
    [
        ("How many days of holiday do full-time employees get?", "27 days", 1),
        ("Until when must leave that was carried over be used?", "31 March", 1),
        ("Who was the last keeper?", "Angus Muir", 2),
        ("On which day is the museum closed?", "every day except Tuesday", 2),
        ("How much is a ticket for an adult?", "6 pounds for adults", 2),
        ("What does a blinking red light mean?", "the water tank is empty", 3),
        ("How heavy is the machine?", "6.2 kg", 3),
        ("What does error 404 mean?", "The shipment does not exist", 4),
        ("How many requests per minute are allowed?", "120 requests", 4),
        ("Why did production stop at Tarvin?", "because of a flood", 5),
    ],
)
async def test_quotes_the_sentence_that_answers(
    chat: ExtractiveChat, question: str, expected: str, number: int
) -> None:
    quoted = quotations(await answer(chat, question, *EVERYTHING, names=NAMES))

    assert 1 <= len(quoted) <= 3
    assert any(expected in quote and named == number for quote, named in quoted)
    for quote, named in quoted:
        assert quote in " ".join(EVERYTHING[named - 1].split())


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of Australia?",
        "Who won the football world cup in 1998?",
        "How do I bake sourdough bread?",
        "Is there a company pension scheme?",
        "How many calories does a tomato have?",
        "hello",
        "what?",
        "???",
        "",
    ],
)
async def test_says_so_when_the_passages_do_not_answer(chat: ExtractiveChat, question: str) -> None:
    assert await answer(chat, question, *EVERYTHING, names=NAMES) == "The documents do not answer this."


@pytest.mark.parametrize("texts", [(), ("",), (" \n\n ",), ("# Only a heading", "")])
async def test_refuses_without_anything_to_quote(chat: ExtractiveChat, texts: tuple[str, ...]) -> None:
    assert await answer(chat, "How much is the rent?", *texts) == REFUSAL


async def test_streams_word_by_word_and_ends_with_the_token_counts(chat: ExtractiveChat) -> None:
    events = [event async for event in chat.stream(request("Who was the last keeper?", MUSEUM))]
    *deltas, finished = events

    words = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert len(words) == len(deltas) > 5
    assert not words[0].startswith(" ")
    assert all(re.fullmatch(r" \S+", word) for word in words[1:])
    assert isinstance(finished, ChatFinished)
    assert finished.stop_reason is StopReason.COMPLETE
    assert finished.input_tokens is not None
    assert finished.output_tokens is not None
    assert finished.input_tokens > 60
    assert len(words) <= finished.output_tokens < 3 * len(words)


async def test_the_same_question_gives_the_same_answer(chat: ExtractiveChat) -> None:
    answers = await asyncio.gather(
        *(answer(chat, "How much is a ticket for an adult?", *EVERYTHING, names=NAMES) for _ in range(3))
    )

    assert len(set(answers)) == 1


async def test_a_sentence_that_overlapping_chunks_share_is_quoted_once_and_whole(chat: ExtractiveChat) -> None:
    torn = "free for children under twelve. Visitors can climb the tower in groups of no more than ten. Admission is"
    names = ("guide.txt", "guide.txt", "guide.txt")

    quoted = quotations(
        await answer(chat, "What does admission to the museum cost?", torn, MUSEUM, MUSEUM, names=names)
    )

    assert quoted.count(("Admission is 6 pounds for adults and free for children under twelve.", 2)) == 1
    assert sum("free for children" in quote for quote, _ in quoted) == 1


async def test_what_several_documents_say_in_the_same_words_is_said_once(chat: ExtractiveChat) -> None:
    said = await answer(chat, "How many days of annual leave do full-time staff get?", HANDBOOK, MACHINE, HANDBOOK)
    assert said.count("27 days") == 1


async def test_a_sentence_that_leans_on_the_one_before_brings_it_along(chat: ExtractiveChat) -> None:
    quoted = quotations(await answer(chat, "How much did the new kiln cost?", REPORT))

    texts = [quote for quote, _ in quoted]
    assert any(
        text.endswith("It cost 18.5 million dollars.") and text.startswith("The new kiln in Leskov") for text in texts
    )


async def test_an_overview_question_gets_whole_sentences_instead_of_a_refusal(chat: ExtractiveChat) -> None:
    for question in ("What is this document about?", "Summarize the document", "Give me a short summary of the file."):
        quoted = quotations(await answer(chat, question, MUSEUM))
        assert quoted
        assert all(quote.endswith(".") for quote, _ in quoted)


async def test_a_marker_inside_a_document_cannot_pass_for_a_citation(chat: ExtractiveChat) -> None:
    text = await answer(chat, "How tall is the tower?", "The tower is 41 metres tall [7] and grey [12].")

    assert text == "The tower is 41 metres tall (7) and grey (12). [1]"


async def test_a_question_of_ten_thousand_characters_is_answered(chat: ExtractiveChat) -> None:
    question = "Who was the last keeper of the lighthouse? " + "I would really like to know. " * 350

    assert "Angus Muir" in await answer(chat, question[:10_000], MUSEUM)
    assert await answer(chat, "how much is " * 833, MUSEUM)


@pytest.mark.parametrize(
    ("question", "passage", "expected"),
    [
        ("Wie hoch ist die Miete?", "Die Miete beträgt 900 Euro im Monat. Haustiere sind erlaubt.", "900 Euro"),
        ("博物館はいつ開いていますか", "灯台は1871年に点灯した。博物館は四月から十月まで開いています。", "博物館は"),
        ("Сколько стоит билет?", "Билет стоит 50 рублей. Музей закрыт по вторникам.", "50 рублей"),
    ],
)
async def test_other_languages_are_answered_where_words_are_shared(
    chat: ExtractiveChat, question: str, passage: str, expected: str
) -> None:
    assert expected in await answer(chat, question, passage)


async def test_passages_of_any_shape_are_survived(chat: ExtractiveChat) -> None:
    odd = (
        "```",
        "|||\n|-|-|\n| | |",
        "...!!!???。。。",
        "a" * 5_000,
        "word " * 1_000,
        "- \n- \n1. \n1.2.3.\n",
        "\ud800 torn surrogate. Next sentence is here.",
        "\x00\x0c\r\n\r\n\u2028 control.",
    )

    assert await answer(chat, "What does the next sentence say?", *odd)


async def test_stopping_in_the_middle_ends_the_stream(chat: ExtractiveChat) -> None:
    stream = chat.stream(request("Who was the last keeper?", MUSEUM))
    first = await anext(stream)
    await stream.aclose()

    assert isinstance(first, TextDelta)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_model_that_is_gone_is_a_provider_error(cache_dir: Path) -> None:
    embeddings = MiniLmEmbeddings(cache_dir)
    await embeddings.aclose()

    with pytest.raises(ProviderError):
        await answer(ExtractiveChat(embeddings), "Who was the last keeper?", MUSEUM)


LEASE = (
    "3. Rent. The monthly rent is 1,240 euros, payable in advance by the fifth day of each month to the landlord's "
    "account.\n\n4. Deposit. The tenant pays a deposit of 2,480 euros before moving in. The landlord returns it within "
    "six weeks of the end of the lease."
)
BREAD = (
    "# Country bread\n\nMix the flour with water and salt and leave the dough alone for an hour. Bake the bread at 240 "
    "degrees for 25 minutes. A hot loaf tears when it is cut."
)


async def test_the_sentence_about_the_thing_asked_wins_over_its_neighbour(chat: ExtractiveChat) -> None:
    text = await answer(chat, "When do I pay the rent?", LEASE, BREAD)

    assert "by the fifth day of each month" in text
    assert "deposit" not in text


@pytest.mark.parametrize(
    "question",
    [
        "How do I make a pizza?",
        "How many tenants live in the house?",
        "Who is the previous tenant?",
        "When did Gustafsson bake the bread?",
    ],
)
async def test_refuses_what_the_documents_only_come_near_to(chat: ExtractiveChat, question: str) -> None:
    assert await answer(chat, question, LEASE, BREAD) == REFUSAL


async def test_a_follow_up_is_understood_from_the_question_before(chat: ExtractiveChat) -> None:
    alone = request("And when?", LEASE, BREAD)
    messages = (
        ChatMessage("user", "Does the landlord return the deposit?"),
        ChatMessage("assistant", REFUSAL),
        ChatMessage("user", "Context: …\n\nQuestion: And when?"),
    )
    events = [event async for event in chat.stream(replace(alone, messages=messages))]

    assert "within six weeks" in "".join(event.text for event in events if isinstance(event, TextDelta))
