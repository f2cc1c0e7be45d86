"""Fits the answerer's weights: a logistic regression whose signs are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def fit(examples: Sequence[tuple[Matrix, npt.NDArray[np.bool_]]], signs: Sequence[int], ridge: float = 1.0) -> Matrix:
    """Weights and, last, the bias, shape (features + 1,).

    `examples` are per question the evidence of its sentences, shape (sentences, features), and which of them answer.
    A question's right sentences weigh 1 together and each wrong one 0.25. A weight whose sign contradicts `signs`
    (1 or -1 per feature) is held at 0: with a hundred questions a wrong sign is noise. Projected accelerated descent.
    """
    evidence = np.concatenate([rows for rows, _ in examples])
    right = np.concatenate([marks for _, marks in examples]).astype(float)
    weight = np.concatenate([np.where(marks, 1.0 / max(1, marks.sum()), 0.25) for _, marks in examples])
    mean, deviation = evidence.mean(axis=0), evidence.std(axis=0) + 1e-9
    scaled = np.c_[(evidence - mean) / deviation * np.array(signs), np.ones(len(evidence))]
    penalty = np.array([ridge] * len(signs) + [0.0])
    step = 1.0 / (0.25 * np.linalg.norm(scaled * np.sqrt(weight)[:, None], 2) ** 2 + ridge)
    current = np.zeros(scaled.shape[1])
    ahead, momentum = current.copy(), 1.0
    for _ in range(3_000):
        probability = 1.0 / (1.0 + np.exp(-scaled @ ahead))
        following = ahead - step * (scaled.T @ (weight * (probability - right)) + penalty * ahead)
        following[:-1] = np.maximum(following[:-1], 0.0)
        next_momentum = (1.0 + (1.0 + 4.0 * momentum**2) ** 0.5) / 2.0
        ahead = following + (momentum - 1.0) / next_momentum * (following - current)
        current, momentum = following, next_momentum
    weights = current[:-1] * np.array(signs) / deviation
    return np.append(weights, current[-1] - weights @ mean)
