"""The result of a study: its student, trials, certificate and figures, read from where the study is recorded."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfkd_tune.api import functions
from dfkd_tune.api.error_words import in_python
from dfkd_tune.api.html import result_page
from dfkd_tune.errors import DfkdError, NotFound
from dfkd_tune.evaluation.certificate import Certificate
from dfkd_tune.export.schema import InputSchema
from dfkd_tune.locations.files import require_place, write_output
from dfkd_tune.registry import register as registry
from dfkd_tune.registry.register import Registered
from dfkd_tune.registry.sources import Sources
from dfkd_tune.registry.stored_student import load_trial
from dfkd_tune.search.attributes import ATTEMPTS, RECIPE, RECORD, WORKER
from dfkd_tune.search.loaded import live_study
from dfkd_tune.tracking.connection import reaching
from dfkd_tune.training.raw_evaluation import RawEvaluator
from dfkd_tune.utils.given.checks import FLAG, PATH, TEXT, require

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.trial import FrozenTrial
    from torch import Tensor, nn

    from dfkd_tune.registry.stored_student import Run
    from dfkd_tune.reporting.findings import Findings
    from dfkd_tune.reporting.plot_style import Axes

UNSHOWN = (RECIPE, RECORD, WORKER, ATTEMPTS)
"""Attributes of trials that are for the machine."""


@dataclass(frozen=True)
class Result:
    """A recorded study. Everything is read when it is asked for, and kept.

        result = dt.load_result("pump")
        result.student(torch.tensor([[2.5, 0.1]])); result.rmse; result.best.params; result.trials.sort_values("objective")
        result.plot_parity(); result.certificate; result.export("pump.onnx"); result.register("pump").uri

    RMSE and gaps are in the teacher's units. What cannot be read or made raises a ``DfkdError`` when it is asked for.

    Args:
        name: name of the study.
        storage: URL of Optuna's storage.
        tracking_uri: MLflow tracking URI.
        evaluator: its teacher and banks, if they are in memory; else they are loaded where a figure needs them.
        reason: why no file holds its teacher; None if one does.
        sources: where its teacher and features are now, or the teacher itself.
    """

    name: str
    storage: str
    tracking_uri: str
    evaluator: RawEvaluator | None = field(default=None, repr=False)
    reason: str | None = None
    sources: Sources = field(default=Sources(), repr=False)

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study. Raises ``NotFound`` if there is none of this name."""
        with in_python():
            return live_study(self.storage, self.name)

    @cached_property
    def findings(self) -> Findings:
        """What the report says of the study: rankings, comparisons, seed noise."""
        from dfkd_tune.reporting.findings import find

        return find(self.study)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial that has begun: number, state, objective, the leaves that it searched, metrics by their names in MLflow, and steps."""
        import pandas as pd

        rows = [
            {"number": t.number, "state": t.state.name, "objective": t.values[0] if t.values else None}
            | {name.partition("@")[0]: value for name, value in t.params.items()}
            | {
                name: value
                for name, value in t.user_attrs.items()
                if isinstance(value, int | float | str) and name not in UNSHOWN
            }
            | ({"steps": json.loads(t.user_attrs[RECIPE])["steps"]} if RECIPE in t.user_attrs else {})
            for t in self.study.get_trials(deepcopy=False)
            if t.datetime_start is not None
        ]
        return pd.DataFrame(rows, columns=None if rows else ["number", "state", "objective"])

    @cached_property
    def best(self) -> FrozenTrial:
        """Optuna's best trial. The promoted student may be a re-run of another: see ``student``.

        Raises:
            NotFound: no trial is complete.
        """
        best = self.findings.best
        if best is None:
            raise NotFound(f"study {self.name!r}", "has no complete trial", remedy="run more trials")
        return best

    @cached_property
    def _stored(self) -> tuple[nn.Module, dict[str, Any], Run]:
        with in_python(), reaching(self.tracking_uri):
            return load_trial(self.tracking_uri, self.name, None)

    @cached_property
    def student(self) -> nn.Module:
        """The promoted student, from raw rows ``(N, D)`` to the teacher's outputs in its units, shape and dtype, in evaluation mode.

        Rows are a tensor, an array, or a data frame with the declared names and words. For a teacher with other arguments it takes
        what the teacher does.

        Raises:
            NotFound: no trial is complete.
        """
        network, result, _ = self._stored
        return InputSchema.of(result).module(network)

    @property
    def rmse(self) -> float:
        """RMSE of the promoted student against the teacher on the selection bank, in the teacher's units."""
        return float(self._stored[1]["rmse"])

    @cached_property
    def certificate(self) -> Certificate:
        """The certificate of the promoted student; made now if the study could not make it.

        Raises:
            DfkdError: its teacher cannot be loaded to make it.
        """
        run = self._stored[2]
        with in_python(), reaching(self.tracking_uri):
            tree = registry.certified(
                self.tracking_uri,
                self.name,
                run,
                lambda: registry.problem_of(self.tracking_uri, self.name, run, self.sources),
            )
        return Certificate.of(tree)

    def register(
        self,
        model: str | None = None,
        alias: str = "champion",
        trial: int | None = None,
        *,
        typed_columns: bool = False,
    ) -> Registered:
        """Register the promoted student, or that of a trial, as a version of an MLflow model, and point an alias at it.

        Args:
            model: name of the registered model; default: the name of the study.
            alias: alias of the new version.
            trial: number of the trial; default: the promoted student.
            typed_columns: declare the features in the version's signature, by name and type.

        Raises:
            DfkdError: as ``register`` does.
        """
        name = self.name if model is None else model
        return functions.register(
            self.tracking_uri, self.name, name, trial, alias, self.sources, typed_columns=typed_columns
        )

    def report(self, file: str | Path | None = None) -> Path:
        """Write the study as one HTML page, by default ``NAME-report.html``; returns its path.

        Raises:
            DfkdError: a store cannot be read, or the file cannot be written.
        """
        from dfkd_tune.reporting.html_report import report

        require("Result.report", {"file": (file, PATH)})
        path = Path(file or f"{self.name}-report.html")
        with in_python(), reaching(self.tracking_uri):
            require_place(path)
            write_output(path, report(self.storage, self.tracking_uri, self.name).encode())
        return path

    def export(
        self, file: str | Path, kind: str | None = None, *, libm: bool = True, guard: bool = False
    ) -> float | None:
        """Write the promoted student as a file, as ``dfkd-tune export`` does.

        Args:
            file: path of the file. Its folder must exist.
            kind: ``pt2``, ``onnx``, ``safetensors``, ``c``, ``numpy``, ``executorch``, ``litert`` or that of a plug-in; default: the file's suffix.
            libm: whether a file of C calls functions of libm, or approximates them itself.
            guard: whether a file of C has a function that says whether a row is one of the declared inputs.

        Returns:
            The RMSE of the file, reloaded, to the teacher on fresh prior rows, in the teacher's units; None, with a warning, if
            no file of C can be compiled here.

        Raises:
            DfkdError: there is no such format, the teacher cannot be loaded, the file cannot be written or answers differently, or
                its RMSE is not the one that training recorded.
        """
        from dfkd_tune.export.formats.kinds import chosen, format_of
        from dfkd_tune.registry.exports.student_export import StudentExport

        given = {"file": (file, PATH), "kind": (kind, TEXT), "libm": (libm, FLAG), "guard": (guard, FLAG)}
        require("Result.export", given, "file")
        path = Path(file)
        with in_python(), reaching(self.tracking_uri):
            form = format_of(path, kind)
            require_place(path)
            writing = StudentExport(self.tracking_uri, self.name, *self._stored, form, path, libm, guard)
            chosen(form, libm, guard)  # refuses what is for other formats
            written = writing.write(self._evaluated)
        if written.unread is not None:
            warnings.warn(f"{path} was not compared with the student: {written.unread}", stacklevel=2)
        return written.found.rmse if written.found is not None else None

    @cached_property
    def _evaluated(self) -> RawEvaluator:
        """The teacher and its banks."""
        if self.evaluator is not None:
            return self.evaluator
        run = self._stored[2]
        with in_python(), reaching(self.tracking_uri):
            return registry.evaluator_of(self.tracking_uri, self.name, run, self.sources, "a comparison")

    @cached_property
    def _outputs(self) -> tuple[Tensor, Tensor]:
        """Outputs of teacher and student on the report bank, ``(N, O)`` each."""
        student, result, _ = self._stored
        units = InputSchema.of(result)
        exported = units.student(units.flat(units.drop_in(student)), int(result["parameters"]))
        with in_python():
            return self._evaluated.held(exported, "report")

    def plot_parity(self, ax: Axes | None = None) -> Axes:
        """Draw the student's outputs against the teacher's on the report bank, into ``ax`` or a new figure.

        Raises:
            DfkdError: the teacher cannot be loaded.
        """
        from dfkd_tune.reporting.plot_style import given_or_new
        from dfkd_tune.reporting.student_figures import draw_parity

        axes = given_or_new(ax)
        teacher, student = self._outputs
        draw_parity(axes, teacher, student, self._evaluated.teacher.output_names(teacher.shape[1]))
        return axes

    def plot_history(self, ax: Axes | None = None) -> Axes:
        """Draw the objective of every trial, and the best so far, into ``ax`` or a new figure."""
        from dfkd_tune.reporting.plot_style import given_or_new
        from dfkd_tune.reporting.study_figures import draw_history

        _ = self.best  # raises if there is nothing to draw
        axes = given_or_new(ax)
        draw_history(axes, self.findings)
        return axes

    def plot_generators(self, ax: Axes | None = None) -> Axes:
        """Draw the objective of every trial by generator, into ``ax`` or a new figure.

        Raises:
            NotFound: the study compares no generators.
        """
        from dfkd_tune.reporting.plot_style import given_or_new
        from dfkd_tune.reporting.study_figures import draw_choices

        leaf = "generator.kind"
        if not any(each.leaf == leaf for each in self.findings.comparisons):
            rule = "compares no generators: it has one, or too few complete trials"
            raise NotFound(f"study {self.name!r}", rule, remedy="search generator.kind, or run more trials")
        axes = given_or_new(ax)
        draw_choices(axes, self.findings, leaf)
        return axes

    def _repr_html_(self) -> str:
        certificate: Certificate | DfkdError
        try:
            certificate = self.certificate
        except DfkdError as error:
            certificate = error
        return result_page(self.name, self.findings, certificate, self.reason)
