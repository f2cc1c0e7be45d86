"""Local embeddings: all-MiniLM-L6-v2 on the CPU, in threads of its own, without keys or network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ctranslate2
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from core.errors import ConfigurationError, ErrorCode, ProviderError
from providers.base import EmbeddingProvider
from providers.minilm_model import MAX_TOKENS, Precision, load_tokenizer, prepare_model
from providers.words import is_topical

# Texts to one run of the model: 16 chunks of 500 characters take about 0.1 s of one core, so a cancelled or
# closing caller never waits for long, and padding to the longest of 16 wastes little (texts are sorted by length).
_RUN_TEXTS = 16
# [CLS] and [SEP] in the model's vocabulary.
_CLS, _SEP = 101, 102

Vectors = npt.NDArray[np.float32]
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A question beside texts. `question` has shape (384,), `texts` (n, 384); all rows have length 1.

    `alignment`, shape (n,), is -1 to 1: for each topical word piece of the question the best cosine with a piece of
    the text, both as the model reads them in their place, averaged. Near 1 the text speaks of all that is asked.
    """

    question: Vectors
    texts: Vectors
    alignment: Vectors


class MiniLmEmbeddings(EmbeddingProvider):
    """384-dimensional unit vectors of English text (other languages: near-lexical matching only).

    Texts are read to 256 tokens, about 1,000 characters; what follows is not seen. Questions have a thread of their
    own and never wait behind documents. `prepare` opens the model; without it the first call does.
    """

    model_id = "all-MiniLM-L6-v2"
    dimensions = 384
    batch_size = 64
    # Measured by bench/local_quality.py; the reasons are in docs/decisions/local-models.md.
    max_distance = 0.9

    def __init__(self, cache_dir: Path, *, document_threads: int = 1, precision: Precision = "int8") -> None:
        """`cache_dir` keeps the built model (25 MB). `document_threads` bounds the cores that documents may take."""
        self._cache_dir = cache_dir
        self._precision = precision
        self._document_threads = document_threads
        self._questions = ThreadPoolExecutor(1, thread_name_prefix="minilm-question")
        self._documents = ThreadPoolExecutor(document_threads, thread_name_prefix="minilm-document")
        self._opening = threading.Lock()
        self._opened: tuple[Any, Tokenizer] | None = None
        self._closed = False

    async def prepare(self) -> None:
        """Build the model where it is missing (about 1 s) and open it. Raises `ConfigurationError`."""
        await asyncio.get_running_loop().run_in_executor(self._questions, self._open)

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """At most `batch_size` texts -> float32 array of shape (len(texts), 384), rows of length 1.

        Raises `ProviderError`.
        """
        if len(texts) > self.batch_size:
            raise ValueError(f"{len(texts)} texts in one call; the limit is {self.batch_size}.")
        return await self._embed(self._documents, texts)

    async def embed_query(self, text: str) -> Vectors:
        """One question -> float32 array of shape (384,), length 1. Raises `ProviderError`."""
        rows = await self._embed(self._questions, (text,))
        row: Vectors = rows[0]
        return row

    async def embed_sentences(self, texts: Sequence[str]) -> Vectors:
        """Any number of short texts, at a question's priority -> float32 array of shape (len(texts), 384), rows of
        length 1. Raises `ProviderError`."""
        return await self._embed(self._questions, texts)

    async def compare(self, question: str, texts: Sequence[str]) -> Comparison:
        """The question beside any number of short texts, at a question's priority. Raises `ProviderError`."""
        vector, pieces = await self._run(self._questions, self._read_question, question)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        alignment = np.empty(len(texts), dtype=np.float32)
        for run in _runs(texts):
            work = partial(self._align, pieces)
            vectors[run], alignment[run] = await self._run(self._questions, work, [texts[index] for index in run])
        return Comparison(vector, vectors, alignment)

    async def count_tokens(self, text: str) -> int:
        """Word pieces of the whole text, without [CLS] and [SEP]. Raises `ProviderError`."""
        return await self._run(self._questions, self._count, text)

    async def aclose(self) -> None:
        """Drop what is queued, wait for the runs that are in flight (about 0.1 s), end the threads."""
        self._closed = True
        for executor in (self._questions, self._documents):
            await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)
        self._opened = None

    async def _embed(self, executor: ThreadPoolExecutor, texts: Sequence[str]) -> Vectors:
        result = np.empty((len(texts), self.dimensions), dtype=np.float32)
        runs = _runs(texts)
        # As many runs at a time as there are threads: the queue stays short, so callers take turns.
        width = self._document_threads if executor is self._documents else 1
        for start in range(0, len(runs), width):
            group = runs[start : start + width]
            done = await asyncio.gather(
                *(self._run(executor, self._forward, [texts[index] for index in run]) for run in group)
            )
            for run, vectors in zip(group, done, strict=True):
                result[run] = vectors
        return result

    async def _run(
        self, executor: ThreadPoolExecutor, work: Callable[[_Argument], _Result], argument: _Argument
    ) -> _Result:
        if self._closed:
            raise _shutting_down()
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work, argument)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Not the caller was cancelled: `aclose` dropped its work from the queue.
                raise _shutting_down() from None
            raise
        except ConfigurationError as error:
            raise ProviderError(
                ErrorCode.PROVIDER_UNAVAILABLE, "The local model is not available.", retryable=False
            ) from error
        except RuntimeError as error:  # what CTranslate2 raises, out of memory included
            raise ProviderError(
                ErrorCode.PROVIDER_UNAVAILABLE, "The local model failed to read a text.", retryable=True
            ) from error

    def _open(self) -> tuple[ctranslate2.Encoder, Tokenizer]:
        with self._opening:
            if self._opened is None:
                folder = prepare_model(self._cache_dir, self._precision)
                # One replica per thread of ours (they share the weights), each on one core.
                encoder = ctranslate2.Encoder(
                    str(folder),
                    device="cpu",
                    compute_type=self._precision,
                    inter_threads=self._document_threads + 1,
                    intra_threads=1,
                )
                self._opened = encoder, load_tokenizer()
            return self._opened

    def _count(self, text: str) -> int:
        _, tokenizer = self._open()
        return len(tokenizer.encode(_clean(text), add_special_tokens=False).ids)

    def _read_question(self, question: str) -> tuple[Vectors, Vectors]:
        """Its vector, and the unit states of its topical pieces (of all, where none is), shape (pieces, 384)."""
        _, tokenizer = self._open()
        text = _clean(question)
        encoding = tokenizer.encode(text, add_special_tokens=False)
        words = (_word_at(text, encoding.word_to_chars(word)) for word in encoding.word_ids if word is not None)
        chosen = [index for index, word in enumerate(words) if is_topical(word)]
        states = self._states([question])[0]
        inner = _unit(_inner(states))
        # A long question was cut.
        topical = [index for index in chosen if index < len(inner)]
        return _unit(states.mean(axis=0)), inner[topical] if topical else inner

    def _align(self, pieces: Vectors, texts: Sequence[str]) -> tuple[Vectors, Vectors]:
        states = self._states(texts)
        vectors = _unit(np.stack([rows.mean(axis=0) for rows in states]))
        alignment = [float((pieces @ _unit(_inner(rows)).T).max(axis=1).mean()) for rows in states]
        return vectors, np.array(alignment, dtype=np.float32)

    def _forward(self, texts: Sequence[str]) -> Vectors:
        """One run of the model -> unit rows: the mean of the last layer over each text's own tokens."""
        return _unit(np.stack([rows.mean(axis=0) for rows in self._states(texts)]))

    def _states(self, texts: Sequence[str]) -> list[Vectors]:
        """One run of the model -> each text's last layer, shape (tokens, 384), [CLS] and [SEP] included."""
        encoder, tokenizer = self._open()
        # One text at a time: encode_batch would start threads that complain when the process forks later.
        tokens = [
            [_CLS, *tokenizer.encode(_clean(text), add_special_tokens=False).ids[: MAX_TOKENS - 2], _SEP]
            for text in texts
        ]
        output = encoder.forward_batch(tokens)
        hidden = np.asarray(output.last_hidden_state, dtype=np.float32)
        return [rows[: len(own)] for rows, own in zip(hidden, tokens, strict=True)]


def _runs(texts: Sequence[str]) -> list[list[int]]:
    """The places of the texts, in runs of similar length."""
    by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    return [by_length[start : start + _RUN_TEXTS] for start in range(0, len(by_length), _RUN_TEXTS)]


def _word_at(text: str, span: tuple[int, int] | None) -> str:
    return text[slice(*span)] if span else ""


def _inner(states: Vectors) -> Vectors:
    """Without [CLS] and [SEP], unless the text is empty."""
    return states[1:-1] if len(states) > 2 else states


def _unit(rows: Vectors) -> Vectors:
    scaled: Vectors = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


def _shutting_down() -> ProviderError:
    return ProviderError(ErrorCode.PROVIDER_UNAVAILABLE, "The local model is shutting down.", retryable=True)


def _clean(text: str) -> str:
    """Without lone surrogates, which the tokenizer refuses."""
    return text.encode("utf-8", "replace").decode("utf-8")
