"""What tests of refusals share: a small study, what a folder holds, one line that says what is wrong."""

from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def fails(place, *words, kind):
    """Expect one line of exactly this kind that names the place and says the words."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert type(caught.value) is kind
    assert len(message.splitlines()) == 1
    for word in (str(place), *words):
        assert word in message


def assert_refused(ended, *named: str) -> None:
    """One line on stderr, the exit status of an expected failure; a slow machine may say before that it waits for the teacher."""
    assert ended.status == 1, ended
    lines = [line for line in ended.err.splitlines() if not line.startswith("waiting for the teacher: ")]
    assert len(lines) == 1 and lines[0].startswith("dfkd-tune: "), ended.err
    assert "Traceback" not in ended.err
    for part in named:
        assert part in ended.err


GOOD = {"study": {"trials": 1, "reruns": 0}, "budget": {"steps": 40, "batch": 20, "pool": 500, "bank": 200}}


def network(*widths: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    parts = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*parts[:-1]).eval()


def save_pt2(module: nn.Module, file: Path, rows: object) -> None:
    features = module[0].in_features
    program = torch.export.export(module, (torch.zeros(4, features),), dynamic_shapes=rows and ({0: rows},))
    torch.export.save(program, file)
