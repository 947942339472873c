"""From arguments in Python to a study: objects become files, and plain values are checked as a study file is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dfkd_tune.errors import DfkdError, FeaturesError, SpecError
from dfkd_tune.inputs.arguments import layout_of
from dfkd_tune.inputs.features_file import parse_features, read_features, tree_of
from dfkd_tune.inputs.prior import Inputs
from dfkd_tune.layouts.layout import Layout
from dfkd_tune.layouts.signature import Signature
from dfkd_tune.locations.files import write_output
from dfkd_tune.locations.paths import writable
from dfkd_tune.search.study_file import StudySpec, parse_spec
from dfkd_tune.study.launch import require_one_process
from dfkd_tune.study.opening import require_stores
from dfkd_tune.study.prepare import Prepared, before_asking, prepare
from dfkd_tune.study.total.opening import open_total, require_openable
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.in_memory import Given, given, is_unkept, own_signature, unasked
from dfkd_tune.teachers.metering.meter import Meter, metered
from dfkd_tune.teachers.signatures.example_inputs import ATTRIBUTE, rows_of
from dfkd_tune.teachers.sources import IN_MEMORY, is_file
from dfkd_tune.utils import yaml_io
from dfkd_tune.utils.given.checks import PATH, require
from dfkd_tune.utils.seeding import stream


@dataclass(frozen=True)
class Arguments:
    """What a call in Python says about teacher, inputs and study.

    Args:
        function: name of the function that was called, for messages.
        teacher, features, example_inputs: as in ``tune``.
        tree: the other sections of a study file, as plain values.
        architecture, trust_pickle, device: as in ``tune``.
        folder: folder in which teachers and features that were given as objects are kept.
        storage_url, tracking_uri: URL of Optuna's storage, where queries are counted, and of MLflow.
        workers: as in ``tune``.
    """

    function: str
    teacher: Any
    features: Any
    example_inputs: Any
    tree: Mapping[str, Any]
    architecture: str | Path | None
    trust_pickle: bool
    device: str
    folder: Path
    storage_url: str | None = None
    tracking_uri: str | None = None
    workers: int | None = None

    def prepared(self) -> tuple[Prepared, Given]:
        """The study, and how its teacher is kept.

        Raises:
            DfkdError: for the first argument that is not valid, in words of Python.
        """
        if self.architecture is not None and not isinstance(self.teacher, str | Path):
            rule = f"is for a file of weights, got a teacher in memory ({type(self.teacher).__name__})"
            raise SpecError(f"{self.function}: architecture", rule, remedy="leave it out")
        first = self._spec(f"{IN_MEMORY}teacher", None)  # before a teacher that may be slow is asked
        if isinstance(self.example_inputs, list) and np.ndim(self.example_inputs) < 2:
            raise self._no_rows(np.shape(self.example_inputs))
        signature = own_signature(self.teacher, self.example_inputs)
        inputs, file = self._features(signature)
        layout = layout_of(signature, self.function) if signature is not None and signature.complete else None
        layout = inputs.layout if inputs is not None and inputs.layout is not None else layout
        signature = layout.signature if layout is not None else signature
        if self.storage_url is not None and self.tracking_uri is not None:
            require_stores(first, self.storage_url, self.tracking_uri)
        meter = self._meter(first)
        with metered(meter):
            rows = self._rows(inputs, layout)
            bare = unasked(self.teacher, rows, signature)
            if bare is not None and is_unkept(self.teacher, signature, self.example_inputs):
                require_one_process(bare.source, self.workers)
            if bare is not None and (inputs is not None or meter is not None):
                with self._placed(bare.source):
                    before_asking(self._spec(bare.source, file), bare, self.device, self.storage_url)
            found = given(self.teacher, self.folder, rows, signature, self.example_inputs)
        spec = self._spec(found.path, file)
        with self._placed(found.path):
            return prepare(spec, self.trust_pickle, self.device, found.teacher, self.storage_url), found

    @contextmanager
    def _placed(self, path: str) -> Iterator[None]:
        """Name the argument in errors of a teacher that was given as an object, which they place at ``path``."""
        try:
            yield
        except DfkdError as error:
            if isinstance(self.teacher, str | Path) or not error.place.startswith(path):
                raise
            place = error.place.replace(path, f"{self.function}: teacher ({type(self.teacher).__name__})", 1)
            remedy = error.remedy
            if isinstance(self.teacher, nn.Module) and self.example_inputs is None and "number of features" in remedy:
                remedy += "; give example_inputs if it takes more than rows of numbers"
            raise type(error)(place, error.rule, remedy=remedy) from error.__cause__

    def _meter(self, spec: StudySpec) -> Meter | None:
        """What counts the rows that the teacher is asked from now on, in the study's storage; None without a total."""
        named = bool((self.tree.get("study") or {}).get("name"))
        if named and self.storage_url is not None and not isinstance(self.teacher, str | Path):
            require_openable(spec, self.storage_url)  # an object is asked before the study is prepared
        if spec.budget.total_queries is None:
            return None
        if isinstance(self.teacher, Teacher):
            rule = "was loaded before, so that not every row that it is asked is counted within budget.total_queries"
            remedy = "give what it was loaded from"
            raise SpecError(f"{self.function}: teacher", rule, remedy=remedy)
        if self.storage_url is None or isinstance(self.teacher, str | Path):
            return Meter()
        if not named:
            rule = "is needed with budget.total_queries, by which the study counts before its teacher is asked"
            raise SpecError(f"{self.function}: name", rule, remedy="give name=")
        return Meter(opening=partial(open_total, spec, self.storage_url))

    def _spec(self, path: str, features: str | None) -> StudySpec:
        tree = {key: _plain(value) for key, value in self.tree.items()}
        about: dict[str, Any] = {"path": path}
        if self.architecture is not None:
            about["architecture"] = str(self.architecture)
        tree |= {"teacher": about} | ({} if features is None else {"features": features})
        study = dict(tree.get("study") or {})
        study.setdefault("name", named_after(path))
        return parse_spec(tree | {"study": study}, self.function)

    def _features(self, signature: Signature | None) -> tuple[Inputs | None, str | None]:
        """The declared inputs, as far as the object needs them to be kept, and the path of their file."""
        value, queried = self.features, not isinstance(self.teacher, str | Path | Teacher)
        if value is None:
            return None, None
        if isinstance(value, str | Path):
            require(self.function, {"features": (value, PATH)})
            return read_features(Path(value), signature) if queried else None, str(value)
        try:
            tree = tree_of(value)
        except FeaturesError as error:
            raise FeaturesError(f"{self.function}: {error.place}", error.rule, remedy=error.remedy) from None
        if not isinstance(tree, dict):
            rule = f"must be a path, a list or a mapping of features, got {type(value).__name__}"
            table = hasattr(value, "columns")
            remedy = "describe(table) makes features of a table" if table else '{"load": {"mean": 3, "std": 1}}'
            raise FeaturesError(f"{self.function}: features", rule, remedy=remedy)
        # The arguments of a file's teacher are known once it is loaded.
        known = queried or "arguments" not in tree
        try:
            inputs = parse_features(_plain(tree), self.function, signature) if known else None
        except FeaturesError as error:
            place = _by_name(error.place, tree) if isinstance(value, Mapping) else error.place
            raise FeaturesError(place, error.rule, remedy=error.remedy) from None
        text = yaml_io.dump(_plain(tree), compact=True).encode()
        file = self.folder / f"features-{hash_bytes(text)[:12]}.yaml"
        if not file.exists():
            writable(self.folder)
            write_output(file, text)
        return inputs, str(file)

    def _rows(self, inputs: Inputs | None, layout: Layout | None) -> Tensor | None:
        """Two raw rows to export a module with: examples, rows of the prior, or None."""
        if inputs is not None and (layout is not None or self.example_inputs is None):
            return inputs.raw(inputs.draw(2, stream(0, "example")))
        example = getattr(self.teacher, ATTRIBUTE, None) if self.example_inputs is None else self.example_inputs
        if example is None or (layout is None and self.example_inputs is None):
            return None
        if layout is not None:
            return rows_of(self.function, example, layout)
        rows = torch.as_tensor(np.asarray(example), dtype=torch.float64)
        if rows.ndim != 2:
            raise self._no_rows(tuple(rows.shape))
        return rows.expand(2, -1).contiguous() if len(rows) == 1 else rows[:2]

    def _no_rows(self, shape: tuple[int, ...]) -> SpecError:
        return SpecError(f"{self.function}: example_inputs", f"must be rows (N, D), got the shape {shape}")


def named_after(path: str) -> str:
    """The name of a study that was given none, after its teacher."""
    text = path.removeprefix(IN_MEMORY)
    stem = Path(text).stem if is_file(path) else text.replace(":", ".")
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("_.-")[:100] or "study"


def _by_name(place: str, tree: Mapping[str, Any]) -> str:
    """A place in the features with the name in place of the number, as a mapping was given."""

    def name(found: re.Match[str]) -> str:
        item = tree["features"][int(found[1])]
        item = item.get("name") if isinstance(item, Mapping) else item
        return f"features[{item!r}]" if isinstance(item, str) else found[0]

    return re.sub(r"(?<=: )features\[(\d+)\]", name, place)


def _plain(value: Any) -> Any:
    """The same values in the types that a YAML file holds."""
    if isinstance(value, Mapping):
        return {str(k) if not isinstance(k, int | float) else float(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
