"""``sampler:`` and ``pruner:`` of a study file: every kind searches, options are checked before anything starts, a study records them."""

import logging
import logging.handlers
from importlib.metadata import EntryPoint

import optuna
import pytest
from mlflow import MlflowClient

from dfkd_tune.errors import SpecError
from dfkd_tune.search.loaded import load_study
from dfkd_tune.search.optuna_kinds import PRUNERS, SAMPLERS, Choice, pruner, read_choice, sampler
from dfkd_tune.search.study_file import as_tree, parse_spec
from dfkd_tune.study.session import run_study
from dfkd_tune.utils.plugins import Registry

pytestmark = pytest.mark.usefixtures("undrawn")
NEEDS = {"percentile": {"percentile": 50.0}, "threshold": {"upper": 1.0}}


@pytest.mark.parametrize("kind", [*SAMPLERS])
def test_every_sampler_suggests(kind, recwarn):
    study = optuna.create_study(sampler=sampler(read_choice(kind, SAMPLERS, "sampler"), 2**40))

    def objective(trial):
        return trial.suggest_float("x", 0, 1, step=0.25) + (trial.suggest_categorical("kind", ["a", "b"]) == "a")

    study.optimize(objective, n_trials=4)
    assert len(study.trials) == 4
    assert not [each for each in recwarn if "deprecated" in str(each.message)]


def test_a_sampler_is_seeded():
    def drawn(seed):
        study = optuna.create_study(sampler=sampler(Choice("random"), seed))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
        return [trial.params["x"] for trial in study.trials]

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize("kind", [*PRUNERS])
def test_every_pruner_is_made(kind):
    choice = read_choice({"kind": kind, **NEEDS.get(kind, {})}, PRUNERS, "pruner")
    assert isinstance(pruner(choice), optuna.pruners.BasePruner)


REFUSED = {
    "an unknown kind": ("sampler", "tpee", "study.yaml: sampler.kind: unknown kind 'tpee'; known: auto, tpe"),
    "a list": ("sampler", ["tpe"], "study.yaml: sampler: must be a name, or a mapping with kind"),
    "no kind": ("pruner", {"percentile": 3}, "study.yaml: pruner: must be a name, or a mapping with kind"),
    "an unknown option": (
        "sampler",
        {"kind": "tpe", "n_start": 3},
        "study.yaml: sampler.n_start: unknown option; known options of tpe: ",
    ),
    "the seed": ("sampler", {"kind": "tpe", "seed": 3}, "study.yaml: sampler.seed: unknown option"),
    "a wrong value": (
        "pruner",
        {"kind": "percentile", "percentile": 300.0},
        "study.yaml: pruner: percentile refuses its options: ValueError",
    ),
    "a missing option": ("pruner", "percentile", "study.yaml: pruner: percentile refuses its options: TypeError"),
    "a value of another type": ("sampler", {"kind": "tpe", "n_startup_trials": "many"}, "valid integer, got 'many'"),
    "an option that no file can hold": (
        "sampler",
        {"kind": "tpe", "gamma": 3},
        "study.yaml: sampler.gamma: unknown option",
    ),
    "an option of auto": ("sampler", {"kind": "auto", "multivariate": False}, "known options of auto: none"),
}


@pytest.mark.parametrize(("key", "value", "words"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_told(key, value, words):
    with pytest.raises(SpecError) as refusal:
        parse_spec({"teacher": "t.pt2", key: value}, "study.yaml")
    assert words in str(refusal.value)


def test_a_pruner_and_two_objectives_exclude_each_other():
    tree = {"teacher": "t.pt2", "study": {"pareto": "parameters"}, "pruner": "median"}
    with pytest.raises(SpecError, match=r"pruner: median cannot be kept with study\.pareto"):
        parse_spec(tree, "study.yaml")
    assert parse_spec(tree | {"pruner": "none"}, "study.yaml").pruner == Choice("none")


def test_a_study_records_them_and_a_resume_may_change_them(store, tiny, caplog):
    chosen = {"sampler": {"kind": "qmc", "scramble": True}, "pruner": "none"}
    prepared = tiny("sampled", trials=2, **chosen)
    run_study(prepared, store.storage, store.tracking)
    spec = load_study(store.storage, "sampled").user_attrs["spec"]
    assert {key: spec[key] for key in chosen} == chosen
    assert as_tree(parse_spec(spec, "sampled")) == spec  # what a worker joins by
    client = MlflowClient(store.tracking)
    experiment = client.get_experiment_by_name("sampled").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`dfkd.kind` = 'study'")
    tags = [parent.data.tags[f"dfkd.{name}"] for name in chosen]
    assert tags == ["qmc(scramble=True)", "none"]
    ours = lambda: [each.getMessage() for each in caplog.records if not each.name.startswith("torch")]  # noqa: E731
    assert ours() == []  # not even a warning of a sampler that draws conditional leaves independently
    run_study(tiny("sampled", trials=3), store.storage, store.tracking)
    assert len(load_study(store.storage, "sampled").trials) == 3
    told = ours()
    assert len(told) == 2 and "study sampled: the pruner was 'none', and is 'auto' from now on" in told
    tags = client.get_run(parent.info.run_id).data.tags
    assert (tags["dfkd.sampler"], tags["dfkd.pruner"]) == ("auto", "auto")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"sampler": "brute_force"}, "brute_force cannot search this study: ValueError: FloatDistribution.step"),
        ({"sampler": "cmaes", "pareto": "parameters"}, "cmaes cannot search this study: ValueError: If the study"),
    ],
    ids=["a continuous space", "two objectives"],
)
def test_a_sampler_that_cannot_search_the_study_is_refused_before_it_starts(tiny, chosen, words):
    with pytest.raises(SpecError) as refusal:
        tiny("unfit", **chosen)
    assert words in str(refusal.value) and len(str(refusal.value).splitlines()) == 1


class Lacking(optuna.samplers.RandomSampler):
    """Needs a package as Optuna's samplers do: when it first samples."""

    def sample_independent(self, *given):
        raise ImportError("No module named 'cmaes'", name="cmaes")


def test_a_missing_package_is_told_with_its_extra_before_the_study_starts(tiny, monkeypatch):
    monkeypatch.setitem(SAMPLERS._own, "lacking", Lacking)
    with pytest.raises(SpecError, match=r"lacking needs the package cmaes.*pip install 'dfkd-tune\[cmaes\]'"):
        tiny("lacking", sampler="lacking")


@pytest.mark.parametrize("kind", ["gp", "cmaes", "qmc", "nsgaii", "tpe"])
def test_every_sampler_searches_a_conditional_space(tiny, kind):
    tiny("conditional", sampler=kind)


@pytest.mark.parametrize("kind", ["gp", "cmaes", "qmc", "nsgaii", "tpe", "auto"])
def test_a_sampler_says_nothing_of_leaves_that_not_every_trial_has(kind):
    lines = logging.handlers.BufferingHandler(1000)
    logging.getLogger("optuna").addHandler(lines)
    try:
        study = optuna.create_study(sampler=sampler(Choice(kind), 0))
        for _ in range(2):
            for bound in (0, 1, 0):  # trials that run at the same time
                study.enqueue_trial({"bound": bound})
            running = [study.ask() for _ in range(3)]
            for trial in running:
                if trial.suggest_categorical("bound", [0, 1]):
                    trial.suggest_float("threshold", 0.0, 1.0)
                trial.suggest_float("rate", 0.0, 1.0)
            running.append(study.ask())
            running[-1].suggest_categorical("bound", [0, 1])
            for trial in running:
                study.tell(trial, trial.number)
    finally:
        logging.getLogger("optuna").removeHandler(lines)
    assert [line.getMessage() for line in lines.buffer if line.levelno >= logging.WARNING] == []


def test_a_package_offers_any_class_of_optuna(monkeypatch):
    entry = EntryPoint("grid", "optuna.samplers:GridSampler", "dfkd_tune.samplers")
    monkeypatch.setattr("dfkd_tune.utils.plugins.entry_points", lambda group: [entry])
    offered = Registry("samplers", optuna.samplers.BaseSampler, {"auto": SAMPLERS["auto"]}, declared=False)
    choice = read_choice({"kind": "grid", "search_space": {"x": [0, 1]}}, offered, "sampler")
    assert choice.words() == "grid(search_space={'x': [0, 1]})"
    with pytest.raises(SpecError, match=r"sampler\.search_space: .*, got 3"):
        read_choice({"kind": "grid", "search_space": 3}, offered, "sampler")


def test_a_pruner_of_ones_own_prunes(store, tiny):
    prepared = tiny("strict", trials=2, pruner={"kind": "threshold", "upper": 1e-9})
    run_study(prepared, store.storage, store.tracking)
    trials = load_study(store.storage, "strict").trials
    assert {trial.state.name for trial in trials} == {"PRUNED"}
    assert all(trial.user_attrs["reason"].startswith("stopped by the pruner at step ") for trial in trials)


def test_a_study_ends_at_its_time_and_goes_on(dfkd, store, tree, tmp_path):
    import yaml

    given = tree("hasty", trials=500, population=2)
    given["study"]["timeout"] = 1e-6
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(given))
    first = dfkd("study", "study.yaml", "--quiet", "--workers", "1", *store.options)
    assert first.status != 3 and "Traceback" not in first.err
    longer = dfkd("study", "study.yaml", "--quiet", "--workers", "1", "--timeout", "2s", *store.options)
    assert longer.status == 0, longer.err
    done = len([trial for trial in load_study(store.storage, "hasty").trials if trial.state.is_finished()])
    assert 0 < done < 500 and f"The time was up after {done} of 500 trials" in longer.out
    rest = dfkd(
        "study", "study.yaml", "--quiet", "--workers", "1", "--timeout", "1h", "--n-trials", done + 1, *store.options
    )
    assert rest.status == 0 and "The time was up" not in rest.out
    assert dfkd("study", "study.yaml", "--timeout", "soon").status == 2
