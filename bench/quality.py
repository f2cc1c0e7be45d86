"""Quality of answers through the product's API, with its local models. From the repository's root:

    python bench/quality.py                 every set, all documents in one organisation; about five minutes
    python bench/quality.py --errors        … and every question that went wrong

The product is `colloquy run` as it stands; the questions are those of bench/local_quality, whose sets have a tuned and
a held-back part each (`third` has been held back as a whole). All documents are searched together, for each question.

What is printed, of each part: hit@5 (the share of answerable questions for which one of the first five passages has the
answer) and the mean reciprocal rank among ten, both of questions that stand alone; of the answerable, the shares that
were answered rightly (what is quoted has the answer), wrongly, and refused; of the unanswerable, the share refused; and
of all quotes, the share that the chunk has to the letter and whose chunk is the page's text at its span.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

# Before this folder, whose `ingest` is a bench.
sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from local_quality.corpus import SETS, Question, contains, files, questions
from product_parts.running import own_product
from quality_parts.client import Answer, Client

from providers.extractive import REFUSAL

AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question: the rank of the first passage with its answer (0: none of ten), and what was answered."""

    part: str
    question: Question
    rank: int | None
    answer: Answer

    @property
    def refused(self) -> bool:
        return self.answer.text.strip() == REFUSAL

    @property
    def right(self) -> bool:
        return not self.refused and contains(self.answer.text, self.question.answers)


async def ask(client: Client, name: str, question: Question, gate: asyncio.Semaphore) -> Outcome:
    async with gate:
        rank = None
        if question.answers and not question.previous:
            found = await client.passages(question.text)
            right = (
                number
                for number, (document, text) in enumerate(found, 1)
                if document == shown(name, question.document) and contains(text, question.answers)
            )
            rank = next(right, 0)
        before = (question.previous,) if question.previous else ()
        answer = await client.answer(*before, question.text)
    part = "held back" if question.held_back else "tuned"
    return Outcome(f"{name}, {part}", question, rank, answer)


def shown(name: str, document: str) -> str:
    """Under which name a document is uploaded: two sets may have one of the same name."""
    return f"{name} {document}"


def share(of: list[bool]) -> str:
    return f"{100 * statistics.mean(of):5.1f}" if of else "    -"


def line(part: str, outcomes: list[Outcome]) -> str:
    answerable = [one for one in outcomes if one.question.answers]
    ranks = [one.rank for one in answerable if one.rank is not None]
    rr = f"{statistics.mean(1 / rank if rank else 0 for rank in ranks):5.2f}" if ranks else "    -"
    return (
        f"{part:22} {len(answerable):4} {share([0 < rank <= 5 for rank in ranks])} {rr}"
        f" {share([one.right for one in answerable])}"
        f" {share([not one.right and not one.refused for one in answerable])}"
        f" {share([one.refused for one in answerable])}"
        f" {len(outcomes) - len(answerable):5} {share([one.refused for one in outcomes if not one.question.answers])}"
        f" {share([quote.exact for one in outcomes for quote in one.answer.quotes])}"
    )


HEADER = (
    "                            answerable                            unanswerable  quotes\n"
    "part                      n hit@5   MRR right wrong refused       n refused  exact (%)"
)


async def measure(errors: bool) -> None:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1)
    with tempfile.TemporaryDirectory(prefix="colloquy-bench-", ignore_cleanup_errors=True) as folder:
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            own_product(http, folder, LOCAL_TOKEN_INTERVAL_MS="0") as (url, _),
        ):
            await ask_all(http, url, errors)


async def ask_all(http: aiohttp.ClientSession, url: str, errors: bool) -> None:
    client = await Client.sign_up(http, url, "bench")
    texts = [(shown(name, document), path) for name in SETS for document, path in files(name).items()]
    for name, path in texts:
        await client.upload(name, path.read_bytes())
    print(f"{len(texts)} documents of {sum(path.stat().st_size for _, path in texts)} bytes")
    began, gate = time.monotonic(), asyncio.Semaphore(AT_ONCE)
    outcomes = await asyncio.gather(
        *(ask(client, name, question, gate) for name in SETS for question in questions(name))
    )
    print(HEADER)
    for part in dict.fromkeys(one.part for one in outcomes):
        print(line(part, [one for one in outcomes if one.part == part]))
    print(line("all held back", [one for one in outcomes if one.part.endswith("held back")]))
    print(line("all", outcomes))
    print(f"{(time.monotonic() - began) / len(outcomes):.2f} s a question")
    if errors:
        tell(outcomes)


def tell(outcomes: list[Outcome]) -> None:
    for one in outcomes:
        if one.refused is bool(one.question.answers) or (one.question.answers and not one.right) or one.rank == 0:
            print(f"\n[{one.part}, {one.question.document}] {one.question.text}")
            print(f"  wanted {one.question.answers or 'a refusal'}, rank {one.rank}: {one.answer.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errors", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.errors))


if __name__ == "__main__":
    main()
