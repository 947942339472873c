"""Derive seeds from words that name their purpose; the same words give the same random stream on every machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(*words: object) -> int:
    """A 63-bit seed from any words, such as ``derive(study_seed, "trial", 7)``."""
    digest = hashlib.sha256("\x1f".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(*words: object) -> torch.Generator:
    """A CPU random generator seeded by ``derive``."""
    import torch  # here, because commands that only read a study use derive and must not import PyTorch

    return torch.Generator().manual_seed(derive(*words))
