"""The command line: thin commands and the one error boundary. Everything heavy is imported inside a command."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from .errors import DfkdError, ExportError, Interrupted

STORAGE = click.option("--storage", metavar="URL", help="Optuna's database; default mlruns/optuna.db.")
TRACKING = click.option(
    "--tracking-uri", metavar="URL", help="MLflow; default MLFLOW_TRACKING_URI, then mlruns/mlflow.db."
)
TRUST = click.option("--trust-pickle", is_flag=True, help="Load pickled models, which can run any code.")
ARCHITECTURE = click.option(
    "--architecture", type=click.Path(), help="YAML of layers and activation, for weights alone."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dfkd-tune")
def cli() -> None:
    """Compress a regression network whose training data are gone."""


@cli.command()
@click.argument("spec", required=False, type=click.Path())
@click.option("--n-trials", type=click.IntRange(min=1), help="Trials of the study in total, also after a resume.")
@click.option("--teacher", help="Model file or package.module:function, instead of the study's.")
@ARCHITECTURE
@click.option("--features", type=click.Path(), help="Features file, instead of the study's.")
@click.option("--name", help="Name of the study.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything.")
@STORAGE
@TRACKING
@TRUST
def study(spec, n_trials, teacher, architecture, features, name, seed, storage, tracking_uri, trust_pickle) -> None:
    """Search how to distill a teacher. Without SPEC, the shipped quickstart."""
    from rich.console import Console

    from . import places, screen
    from . import study as studies
    from .prepared import prepare

    changed = _spec(spec, n_trials, teacher, architecture, features, name, seed)
    prepared = prepare(changed, trust_pickle)
    storage_url, uri = places.optuna_url(storage), places.tracking_url(tracking_uri)
    console = Console()
    with _signals() as stop, screen.watch(console, changed.name) as on_progress:
        result = studies.run_study(prepared, storage_url, uri, on_progress, lambda: bool(stop))
    trials = studies.load_study(storage_url, result.name).get_trials(deepcopy=False)
    ui, register = _next(result.name, tracking_uri)
    screen.summary(console, result, trials, prepared.inputs.tier, ui, register)


@cli.command()
@click.argument("spec", type=click.Path())
@TRUST
def check(spec, trust_pickle) -> None:
    """Read a study file, probe its teacher, and say what would be searched; writes nothing."""
    import json

    from .prepared import prepare
    from .problem import affordable_rows
    from .spec import read_spec

    prepared = prepare(read_spec(Path(spec)), trust_pickle)
    found, spec_ = prepared.probe, prepared.spec
    lines = [
        f"study      {spec_.name}: {spec_.study.trials} trials of {spec_.budget.steps} steps, seed {spec_.study.seed}, objective {spec_.study.objective}",
        f"teacher    {prepared.teacher.source}: {found.features} features, {found.outputs} outputs, "
        f"{'differentiable' if found.differentiable else 'black box'}, {found.rows_per_second:,.0f} rows/s"
        + (f", {prepared.teacher.parameters:,} parameters" if prepared.teacher.parameters else ""),
        f"inputs     tier {prepared.inputs.tier}, pool of {spec_.budget.pool or affordable_rows(found):,} prior rows, banks of {spec_.budget.bank:,}",
        f"student    {'at most ' + format(prepared.space.max_parameters, ',') + ' parameters' if prepared.space.max_parameters else 'no limit'}",
        "search",
    ]
    lines += [f"  {leaf:<22} {json.dumps(value)}" for leaf, value in prepared.space.describe()["search"].items()] or [
        "  nothing: the preset as it is"
    ]
    click.echo("\n".join(lines))


@cli.command()
@click.argument("data", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="Features file to write.")
@click.option(
    "--tier", type=click.Choice(["moments", "quantiles", "correlation"]), default="quantiles", show_default=True
)
@click.option("--target", "targets", multiple=True, help="Column to leave out; may be given several times.")
@click.option("--at-least", type=click.IntRange(min=2), default=10, show_default=True, help="Rows behind every number.")
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), help="Of DATA; default by its name.")
def describe(data, out, tier, targets, at_least, kind) -> None:
    """Write what may be told of a table as a features file; runs where the data live, and no row leaves."""
    from . import describe as describing

    click.echo("\n".join(describing.describe_file(Path(data), Path(out), tier, targets, at_least, kind)))


@cli.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@STORAGE
def show(name, as_json, storage) -> None:
    """The trials of a study, best first."""
    import json

    from rich.console import Console

    from . import places, screen
    from . import study as studies

    found = studies.load_study(places.optuna_url(storage), name)
    trials = found.get_trials(deepcopy=False)
    if as_json:
        click.echo(
            json.dumps(
                {"study": name, "attributes": found.user_attrs, "trials": [_plain(trial) for trial in trials]}, indent=1
            )
        )
        return
    counts: dict[str, int] = {}
    for trial in trials:
        counts[trial.state.name.lower()] = counts.get(trial.state.name.lower(), 0) + 1
    console = Console()
    head = f"{name}: teacher {found.user_attrs.get('teacher')}, tier {found.user_attrs.get('tier')}, "
    console.print(head + ", ".join(f"{n} {state}" for state, n in counts.items()), highlight=False, soft_wrap=True)
    if found.user_attrs.get("baseline") is not None:
        console.print(f"untuned preset: {found.user_attrs['baseline']:.4g}", highlight=False)
    console.print(screen.leaders(trials))


@cli.command()
@click.argument("name")
@click.option("--model", required=True, help="Name of the registered model.")
@click.option("--trial", type=click.IntRange(min=0), help="Trial; default the best.")
@click.option("--alias", default="champion", show_default=True, help="Alias that points to the new version.")
@click.option("--teacher", help="Where the teacher is now, for a trial without a certificate.")
@ARCHITECTURE
@click.option("--features", type=click.Path(), help="Where the features file is now.")
@TRACKING
@TRUST
def register(name, model, trial, alias, teacher, architecture, features, tracking_uri, trust_pickle) -> None:
    """Register a study's best student in MLflow with its certificate, reloaded and compared before it is announced."""
    from . import issuing, places, registry

    sources = issuing.Sources(teacher, architecture, features, trust_pickle)
    done = registry.register(places.tracking_url(tracking_uri), name, model, trial, alias, sources)
    click.echo(
        f"registered {done.uri}, version {done.version}: trial {done.trial}, RMSE {done.rmse:.4g}; "
        f"the reloaded model differs from the student by at most {done.worst:.2g}"
    )
    if done.report_rmse is not None:
        click.echo(
            f"certificate runs:/{done.run_id}/certificate: RMSE {done.report_rmse:.4g} on the report bank, "
            f"worst gap found {done.worst_gap:.4g}"
        )


@cli.command()
@click.argument("name")
@click.option("--trial", type=click.IntRange(min=0), help="Trial; default the best.")
@click.option("--format", "kind", type=click.Choice(["pt2", "safetensors"]), default="pt2", show_default=True)
@click.option("--out", required=True, type=click.Path(), help="File to write.")
@TRACKING
def export(name, trial, kind, out, tracking_uri) -> None:
    """Write a trial's student as a file; it takes and gives the teacher's raw units."""
    from . import places, registry, shipping

    student, result, run = registry.load_trial(places.tracking_url(tracking_uri), name, trial)
    shipping.export(student, len(result["features"]), kind, Path(out))
    if kind == "safetensors":
        with registry.fetch(places.tracking_url(tracking_uri), run.info.run_id) as folder:
            if (layout := folder / "architecture.yaml").exists():
                shipping.write(Path(out).with_suffix(".yaml"), layout.read_bytes())
    click.echo(f"wrote {out}: trial {run.data.params['trial']}, RMSE {result['rmse']:.4g}")


@cli.command()
@click.option("--teacher", required=True, help="Model file or package.module:function.")
@ARCHITECTURE
@click.option("--preset", help="Named recipe; default paper.")
@click.option("--recipe", "recipe_file", type=click.Path(), help="Recipe file.")
@click.option("--run", "run_id", help="MLflow run whose recipe and seed are replayed.")
@click.option("--features", type=click.Path(), help="Features file.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of everything; default 0.")
@click.option("--out", required=True, type=click.Path(), help="Directory for the student's files.")
@TRACKING
@TRUST
def distill(
    teacher, architecture, preset, recipe_file, run_id, features, seed, out, tracking_uri, trust_pickle
) -> None:
    """Distill one student: student.pt2, student.safetensors, architecture.yaml, recipe.yaml, result.json."""
    if sum(choice is not None for choice in (preset, recipe_file, run_id)) > 1:
        raise click.UsageError("--preset, --recipe and --run exclude each other")
    from . import places, shipping
    from .distillation import distill as run_distillation
    from .prepared import prepare
    from .problem import affordable_rows
    from .seeds import derive
    from .spec import parse_spec

    tree: dict[str, Any] = {"teacher": {"path": teacher} | ({"architecture": architecture} if architecture else {})}
    if features:
        tree["features"] = features
    recipe, member_seed, pool = _recipe(preset, recipe_file, run_id, tracking_uri, tree)
    tree["study"] = tree.get("study", {}) | ({"seed": seed} if seed is not None else {})
    prepared = prepare(parse_spec(tree | {"search": {}}, "distill"), trust_pickle)
    folder = places.writable(Path(out))
    problem = prepared.problem(pool or affordable_rows(prepared.probe))
    member_seed = derive(prepared.spec.study.seed, "baseline") if member_seed is None else member_seed

    def rung(member) -> None:
        click.echo(f"step {member.clock}/{recipe.steps}: RMSE {member.curve[-1][1]:.4g} on the pruning bank")

    outcome = run_distillation(problem, recipe, member_seed, rung)
    if outcome.failure:
        raise ExportError(folder, f"no student: {outcome.failure}", remedy="lower optimizer.lr")
    files = shipping.student_files(problem, outcome, {"teacher": Path(teacher).name})
    for name, data in files.items():
        shipping.write(folder / Path(name).name, data)
    module, _ = shipping.read_student(folder)
    shipping.export(module, problem.features, "pt2", folder / "student.pt2")
    click.echo(
        f"wrote {folder}: RMSE {outcome.selection.rmse:.4g} on the selection bank, {outcome.parameters:,} parameters, "
        f"tier {problem.inputs.tier}, {outcome.seconds:.1f} s"
    )


@cli.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@TRACKING
def ui(port, tracking_uri) -> None:
    """Open the MLflow UI on this machine's loopback address."""
    import socket

    from . import places, tracking

    uri = places.tracking_url(tracking_uri)
    if uri.startswith(("http://", "https://")):
        click.echo(f"these runs are at {places.without_credentials(uri)}")
        return
    tracking.preflight(uri)
    tracking.client(uri)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DfkdError(
                f"port {port}", f"cannot be used: {error.strerror}", remedy="choose another with --port"
            ) from None
    where = ["--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "ui", *where]
    shown = places.without_credentials(" ".join(["mlflow", *command[3:]]))
    click.echo(f"http://127.0.0.1:{port}\n{shown}")
    sys.stdout.flush()
    os.execv(sys.executable, command)


def _spec(spec, n_trials, teacher, architecture, features, name, seed):
    """The study file with the command line's changes."""
    from dataclasses import replace

    from .errors import SpecError
    from .quickstart import quickstart
    from .spec import NAME, TeacherFile, parse_spec, read_spec

    if spec is None and teacher is not None:
        read = parse_spec({"teacher": teacher}, f"{Path(teacher.replace(':', '.')).stem}.yaml")
    else:
        read = read_spec(Path(spec) if spec else quickstart())
    if name is not None and not NAME.fullmatch(name):
        raise SpecError("--name", f"must be letters, digits, '_', '.', '-' (100 at most), got {name!r}")
    given = {"trials": n_trials, "name": name, "seed": seed}
    read = replace(read, study=replace(read.study, **{k: v for k, v in given.items() if v is not None}))
    if teacher is not None or architecture is not None:
        read = replace(
            read,
            teacher=TeacherFile(
                teacher or read.teacher.path, architecture or (None if teacher else read.teacher.architecture)
            ),
        )
        if teacher is not None and features is None:
            read = replace(read, features=None)
    return read if features is None else replace(read, features=features)


def _recipe(preset, recipe_file, run_id, tracking_uri, tree):
    """Recipe, member seed and pool size of a single distillation; ``tree`` gets the study's seed and bank on a replay."""
    import json

    from . import places, registry, tracking, yamls
    from .errors import NotFound, SpecError
    from .recipe import PRESETS, from_tree

    if run_id is not None:
        uri = places.existing(places.tracking_url(tracking_uri), f"run {run_id}")
        tracking.preflight(uri)
        with registry.fetch(uri, run_id) as folder:
            result = json.loads((folder / "result.json").read_text())
            recipe = from_tree(yamls.read(folder / "recipe.yaml", SpecError), f"run {run_id}")
        made = tracking.client(uri)
        above = made.get_run(run_id).data.tags.get("mlflow.parentRunId")
        parent = made.get_run(above).data.params if above else {}
        if not parent.keys() >= {"seed", "bank", "pool"}:
            raise NotFound(f"run {run_id}", "is no trial of a study", remedy="its recipe.yaml goes with --recipe")
        tree["study"] = {"seed": int(parent["seed"])}
        tree["budget"] = {"bank": int(parent["bank"])}
        return recipe, result["seed"], int(parent["pool"])
    if recipe_file is not None:
        return from_tree(yamls.read(Path(recipe_file), SpecError), recipe_file), None, None
    if (preset or "paper") not in PRESETS:
        raise SpecError("--preset", f"unknown preset {preset!r}", remedy=f"known: {', '.join(PRESETS)}")
    return PRESETS[preset or "paper"], None, None


def _next(name: str, tracking_uri: str | None) -> tuple[str, str]:
    """The exact commands that follow a study."""
    from .places import without_credentials

    extra = f" --tracking-uri {without_credentials(tracking_uri)}" if tracking_uri else ""
    return f"dfkd-tune ui{extra}", f"dfkd-tune register {name} --model {name}{extra}"


def _plain(trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.values[0] if trial.values else None,
        "params": trial.params,
        "attributes": {k: v for k, v in trial.user_attrs.items() if k != "worker"},
    }


class _signals:
    """Turns the first ^C or SIGTERM into a request to stop; the second ^C stops at once."""

    def __enter__(self) -> list:
        self.stop: list = []
        self.before = {s: signal.signal(s, self._hear) for s in (signal.SIGINT, signal.SIGTERM)}
        return self.stop

    def __exit__(self, *exception) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _hear(self, number, frame) -> None:
        if self.stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop.append(number)
        click.echo("\nstopping: the running trials go back to their slots ...", err=True)


def main() -> None:
    """Run the command line: 0 done, 1 expected failure in one line, 2 usage, 3 a bug, 130 interrupted."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except DfkdError as error:
        click.echo(f"dfkd-tune: {error}", err=True)
        sys.exit(1)
    except Interrupted as stop:
        click.echo(f"interrupted; run the same command again to go on with {stop}", err=True)
        sys.exit(130)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)
    except Exception:
        sys.exit(_bug())


def _bug() -> int:
    """Write the traceback where the user can send it from."""
    import tempfile
    import traceback

    text = traceback.format_exc()
    with tempfile.NamedTemporaryFile("w", prefix="dfkd-tune-", suffix=".log", delete=False) as file:
        file.write(text)
    click.echo(f"dfkd-tune: a bug: {text.strip().splitlines()[-1]}; the traceback is in {file.name}", err=True)
    return 3
