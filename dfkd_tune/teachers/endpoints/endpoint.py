"""A teacher behind HTTP: rows are sent in batches, several at a time, and a batch that is too large is halved."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfkd_tune.errors import TeacherError
from dfkd_tune.layouts.signature import Argument, Signature, shape_in_words
from dfkd_tune.teachers.base import Teacher, hash_bytes
from dfkd_tune.teachers.endpoints.address import read_address
from dfkd_tune.teachers.endpoints.client import PARALLEL, Client, Oversized, Refused, Stopped
from dfkd_tune.teachers.endpoints.mlflow_scoring import MlflowScoring
from dfkd_tune.teachers.endpoints.open_inference import OpenInference
from dfkd_tune.teachers.endpoints.protocols import Batch, InferenceProtocol, beside
from dfkd_tune.teachers.guarded import Guard
from dfkd_tune.teachers.kept_rows import KeptRows
from dfkd_tune.teachers.table_model import TableModel

BATCH_BYTES = 2**20
"""Size of a request in bytes, about."""
NUMBER_BYTES = 22
"""Size of a number as text in bytes, about."""
MOST_ROWS = 4096
"""Largest number of rows in a request."""
POLL_S = 0.2
"""Seconds between two looks at whether the user wants to stop."""
TOO_LARGE = (400, 413, 422)
"""Statuses of a refusal that a smaller batch may avoid."""
IDENTITY_ROWS = 16
"""Number of fixed rows whose answers identify a model."""
IDENTITY_DIGITS = 6
"""Significant digits of these answers that count."""


class Endpoint(TableModel):
    """A model behind HTTP; ``predict`` takes arrays and data frames.

    Args:
        source: its address.
        client: sends requests.
        protocol: writes requests and reads answers.
        guard: knows whether the user wants to stop.

    Raises:
        TeacherError: it cannot be reached, or serves a model that is no teacher.
    """

    def __init__(self, source: str, client: Client, protocol: InferenceProtocol, guard: Guard) -> None:
        self.source, self.client, self.protocol, self.guard = source, client, protocol, guard
        self.description = protocol.describe()
        self.form: int | None = None
        self.most_rows = self.description.rows or MOST_ROWS
        self.answered = 0
        self.shapes: dict[str, tuple[int, ...]] = {}

    @property
    def feature_names_in_(self) -> np.ndarray | None:
        names = self.description.names
        return None if names is None else np.array([*names], dtype=object)

    @property
    def n_features_in_(self) -> int | None:
        return self.description.width

    @property
    def kinds(self) -> Mapping[str, str]:
        """Name of a column -> the name of its dtype, or ``string``, as far as they are known."""
        return self.description.kinds

    def predict(self, rows: Any) -> np.ndarray:
        """Outputs ``(N, O)`` for an array or a data frame ``(N, D)``.

        Raises:
            Refused: the endpoint does not take a row.
            TeacherError: it cannot be reached for long, denies access, or answers something else than numbers.
        """
        names = [*rows.columns] if hasattr(rows, "columns") else None
        return beside(
            self.query(Batch((rows.to_numpy(dtype=object) if names is not None else np.asarray(rows),), names))
        )

    def query(self, batch: Batch) -> dict[str, np.ndarray]:
        """Outputs ``(N, ...)`` by name for rows; raises what ``predict`` raises."""
        if self.form is None:
            self._settle(batch.rows(slice(1)))
        size = min(self.most_rows, max(1, BATCH_BYTES // (NUMBER_BYTES * batch.width)))
        return _joined(self._together([batch.rows(slice(i, i + size)) for i in range(0, len(batch), size)]))

    def _settle(self, row: Batch) -> None:
        """Find the form of a request that the endpoint takes, with one row."""
        first: Refused | None = None
        self._claim(1)
        for form in range(len(self.protocol.bodies(row))):
            self.form = form
            try:
                self._batch(row)
            except Refused as error:
                first = first or error
            else:
                return
        self.form = None
        raise first or ValueError("the row cannot be sent")

    def _together(self, batches: Sequence[Batch]) -> list[dict[str, np.ndarray]]:
        """Answers to batches, several of which are queried at a time."""
        pool = ThreadPoolExecutor(PARALLEL)
        futures = [pool.submit(self._batch, batch) for batch in batches]
        try:
            while True:
                done, left = wait(futures, timeout=POLL_S, return_when=FIRST_EXCEPTION)
                if not left or any(future.exception() is not None for future in done):
                    break
                self.guard.check_cancelled()
            failed = [error for future in done if (error := future.exception()) is not None]
            if failed:
                raise next((error for error in failed if not isinstance(error, Stopped)), failed[0])
            return [future.result() for future in futures]
        finally:
            self.client.stop.set()
            pool.shutdown(cancel_futures=True)
            self.client.stop.clear()

    def _batch(self, batch: Batch) -> dict[str, np.ndarray]:
        fixed, count = self.description.rows, len(batch)
        sent = batch if fixed is None else batch.rows(np.arange(fixed) % count)
        self._claim(len(sent) - count)
        bodies = self.protocol.bodies(sent)
        try:
            body = bodies[min(self.form or 0, len(bodies) - 1)]
            document = self.client.post(self.protocol.url, body, lambda: self._claim(len(sent)))
        except Refused as error:
            if error.status == 404:
                raise TeacherError(self.source, f"is not there: {error}", remedy="check the address") from None
            if isinstance(error, Oversized) and count == 1:
                rule, remedy = f"cannot be used: {error}", "serve a model that answers fewer numbers for a row"
                raise TeacherError(self.source, rule, remedy=remedy) from None
            if count == 1 or fixed is not None or error.status not in TOO_LARGE:
                raise
            half = count // 2
            parts = [self._batch(batch.rows(part)) for part in (slice(half), slice(half, None))]
            self.most_rows = min(self.most_rows, count - half)
            return _joined(parts)
        try:
            answers = self.protocol.answers(document, len(sent))
        except ValueError as error:
            rule = f"answers something else than numbers for each row: {self.client.hidden(str(error))[:200]}"
            raise TeacherError(self.source, rule, remedy="check that it serves a regression model") from None
        self._same(answers)
        self.answered += count
        return {name: output[:count] for name, output in answers.items()}

    def _same(self, answers: dict[str, np.ndarray]) -> None:
        """Check that the outputs have the names and shapes of those before."""
        shapes = {name: output.shape[1:] for name, output in answers.items()}
        self.shapes = self.shapes or shapes
        if shapes != self.shapes:
            now, before = (
                ", ".join(f"{name} {shape_in_words(shape)}" for name, shape in each.items())
                for each in (shapes, self.shapes)
            )
            rule = self.client.hidden(f"answers {now}, and answered {before} before")
            raise TeacherError(self.source, rule, remedy="see the log of its server")

    def _claim(self, rows: int) -> None:
        """Count rows that are sent besides those of the guard's call: a trial row, a full batch, a request sent again."""
        if self.guard.meter is not None and rows:
            self.guard.meter.claim(rows)


class Call:
    """What a teacher behind an endpoint is asked by: flat rows, or its own arguments once they are known.

    Args:
        endpoint: the endpoint.
        signature: its arguments and outputs; None if it takes flat rows ``(N, D)``.
    """

    def __init__(self, endpoint: Endpoint, signature: Signature | None = None) -> None:
        self.endpoint, self.signature = endpoint, signature

    def taking(self, signature: Signature) -> Call:
        """The same endpoint, asked by arguments; their words stand in the signature."""
        return Call(self.endpoint, signature)

    def __call__(self, *tensors: Tensor) -> Any:
        """The outputs: flat ``(N, O)``, the only one, or a dict by name; raises what ``Endpoint.predict`` raises."""
        device = tensors[0].device
        if self.signature is None:
            return torch.from_numpy(self.endpoint.predict(tensors[0].detach().cpu().numpy())).to(device)
        arguments = self.signature.arguments
        arrays = tuple(_array(each, tensor) for each, tensor in zip(arguments, tensors, strict=True))
        found = self.endpoint.query(Batch(arrays, [each.name for each in arguments], table=False))
        told = {each.name: each.dtype for each in self.signature.outputs or ()}
        if len(found) == 1 and len(told) <= 1:  # the only output needs no name
            only = torch.from_numpy(next(iter(found.values())))
            return only.to(device, next(iter(told.values()), None))
        if told.keys() - found.keys():
            rule = self.endpoint.client.hidden(f"answers {', '.join(found)}, its metadata tell of {', '.join(told)}")
            raise TeacherError(self.endpoint.source, rule, remedy="see the log of its server")
        answers = {name: torch.from_numpy(found[name]).to(device, told.get(name)) for name in told or found}
        return answers if len(answers) > 1 else next(iter(answers.values()))


def _array(argument: Argument, tensor: Tensor) -> np.ndarray:
    """An argument as an array: words for their codes, and float32 for the bfloat16 that NumPy lacks."""
    tensor = tensor.detach().cpu()
    if argument.words is not None:
        return np.array(argument.words, dtype=object)[tensor.numpy()]
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Outputs by name of several batches, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load_endpoint(address: str) -> Teacher:
    """Make a teacher of the model at an address; nothing is sent but a question for the model's metadata.

    Raises:
        TeacherError: the address is of no known kind or holds credentials, or the endpoint cannot be reached.
    """
    read, guard = read_address(address), Guard()
    client = Client(read.url)
    protocol = MlflowScoring(client, read.url, read.base) if read.model is None else OpenInference(client, read.base)
    endpoint = Endpoint(read.url, client, protocol, guard)
    about, call = endpoint.description, Call(endpoint)
    sha256 = _hash([read.url, about.facts])
    kept, signature = KeptRows(), about.signature
    return Teacher(
        read.url,
        call,
        about.dtype,
        sha256,
        about.width,
        estimator=endpoint,
        signature=signature,
        guard=guard,
        kept=kept,
    )


def identified(teacher: Teacher, x: Tensor) -> Teacher:
    """The teacher, with a hash that changes with the model behind its address; other teachers are returned unchanged.

    Args:
        teacher: a teacher that takes rows ``(N, D)`` as they are declared.
        x: fixed raw rows ``(IDENTITY_ROWS, D)``.

    Raises:
        TeacherError: the endpoint does not answer them.
    """
    endpoint = teacher.estimator
    if not isinstance(endpoint, Endpoint):
        return teacher
    asked = replace(teacher, kept=None)
    with torch.no_grad():
        first, again = (asked(x.to(teacher.dtype)).double() for _ in range(2))
    steady = torch.equal(first.nan_to_num(), again.nan_to_num())
    answers = [[f"{value:.{IDENTITY_DIGITS}g}" for value in row] for row in first.tolist()] if steady else None
    return replace(teacher, sha256=_hash([endpoint.source, endpoint.description.facts, answers]))


def _hash(facts: Any) -> str:
    return hash_bytes(json.dumps(facts, sort_keys=True).encode())
