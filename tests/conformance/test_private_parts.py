"""Private parts of other libraries that ``dfkd_tune.compat`` uses: a release that drops one is told by its name and version."""

import ast
import importlib
import inspect
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pytest
import torch
from optuna.storages import RDBStorage
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.svm import SVR
from sqlalchemy.orm import configure_mappers
from torch import nn

import dfkd_tune
from dfkd_tune.compat import mlflow as mlflow_private
from dfkd_tune.compat import optuna as optuna_private
from dfkd_tune.compat import optuna_tables
from dfkd_tune.compat import sklearn as sklearn_private
from dfkd_tune.compat import torch as torch_private

PACKAGE = Path(dfkd_tune.__file__).parent
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
PUBLIC = {"_replace", "_exit"}
"""Names with an underscore that their libraries document: of a named tuple and of ``os``."""


def imports() -> list[tuple[str, str]]:
    """``(module, name)`` of everything that ``compat`` imports from a private module, or by a private name."""
    found = []
    for file in sorted((PACKAGE / "compat").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                found += [
                    (node.module, alias.name) for alias in node.names if is_private(f"{node.module}.{alias.name}")
                ]
    return found


def is_private(path: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in path.split("."))


def require(owner: object, name: str, path: str) -> object:
    """An attribute; where it is gone, what to look for and in which release."""
    library = path.partition(".")[0]
    release = version(DISTRIBUTIONS.get(library, library))
    assert hasattr(owner, name), f"{library} {release} has no {path}.{name}, which dfkd_tune.compat.{library} uses"
    return getattr(owner, name)


@pytest.mark.parametrize(("module", "name"), imports(), ids=".".join)
def test_what_is_imported_is_there(module, name):
    library = module.partition(".")[0]
    try:
        found = importlib.import_module(module)
    except ImportError:
        release = version(DISTRIBUTIONS.get(library, library))
        pytest.fail(f"{library} {release} has no module {module}, which dfkd_tune.compat.{library} uses")
    if name != "models":  # a module of its own
        require(found, name, module)


def test_the_message_names_library_release_and_part():
    with pytest.raises(AssertionError, match=rf"optuna {optuna.__version__} has no optuna.study.Study._gone"):
        require(optuna.study.Study, "_gone", "optuna.study.Study")


def test_tables_of_optuna():
    configure_mappers()  # what one table refers to another by is there only then
    for table, columns in optuna_private.COLUMNS.items():
        for name in (*columns, *optuna_private.FINDERS.get(table, ())):
            require(table, name, f"optuna.storages._rdb.models.{table.__name__}")


def test_methods_of_optunas_storage():
    for name in (*optuna_private.REPEATED, "_set_trial_value_without_commit"):
        require(RDBStorage, name, "optuna.storages.RDBStorage")
    for name, arguments in optuna_private.OVERRIDDEN.items():
        taken = tuple(inspect.signature(require(RDBStorage, name, "optuna.storages.RDBStorage")).parameters)
        assert taken[1:] == arguments, f"optuna {optuna.__version__}: RDBStorage.{name} takes other arguments"


def test_ids_and_caches_of_optuna(tmp_path):
    storage = RDBStorage(f"sqlite:///{tmp_path}/optuna.db", heartbeat_interval=60, grace_period=120)
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({"x": 0.5})
    trial = study.ask()
    require(study, "_study_id", "optuna.study.Study")
    require(trial, "_trial_id", "optuna.trial.Trial")
    cache = require(study, "_thread_local", "optuna.study.Study")
    require(cache, "cached_all_trials", "optuna.study.Study._thread_local")
    assert optuna_private.study_id(study) == 1 and optuna_private.trial_ids([trial]) == [optuna_private.trial_id(trial)]
    assert optuna_private.stale_trial_ids(storage, study) == set()
    fixed = study.get_trials()[0].system_attrs
    assert optuna_private.FIXED_PARAMS in fixed, f"optuna {optuna.__version__} keeps enqueued parameters elsewhere"
    with optuna_private.transaction(storage) as session:
        row = optuna_private.TRIALS.find_or_raise_by_id(optuna_private.trial_id(trial), session)
        optuna_private.set_trial_value(storage, session, row, 0, 0.25)
    optuna_private.forget_cached_trials(study)
    assert storage.get_trial(optuna_private.trial_id(trial)).values == [0.25]


def test_optuna_makes_the_tables_that_are_opened_without_migrations(tmp_path):
    url = f"sqlite:///{tmp_path}/optuna.db"
    storage = RDBStorage(url)
    assert storage.get_head_version() == storage.get_current_version() == optuna_tables.NEWEST
    assert len(storage.get_all_versions()) == optuna_tables.MIGRATIONS and optuna_tables.makes_known_tables()
    manager = type(storage._version_manager)
    with optuna_private.with_known_tables():
        assert RDBStorage(url, skip_compatibility_check=False).get_all_studies() == []
    assert type(RDBStorage(url)._version_manager) is manager


def test_what_mlflow_uses_is_there(tmp_path):
    for path in mlflow_private.USED:
        module, _, name = path.partition(":")
        require(importlib.import_module(module), name, module)
    before = mlflow.get_tracking_uri()
    with mlflow_private.use_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db"):
        assert mlflow.get_tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert mlflow.get_tracking_uri() == before
    maps = importlib.import_module("mlflow.utils.requirements_utils")
    known = maps._MODULES_TO_PACKAGES
    with mlflow_private.without_scan_of_packages():
        maps.warn_dependency_requirement_mismatches(["torch"])
        assert not maps._MODULES_TO_PACKAGES or maps._MODULES_TO_PACKAGES is known
    assert maps._MODULES_TO_PACKAGES is known


def test_hooks_of_a_module():
    module = nn.Sequential(nn.Linear(2, 1))
    for name in torch_private.HOOKS:
        require(module, name, "torch.nn.Module")
    assert not torch_private.has_forward_hooks(module)
    module[0].register_forward_pre_hook(lambda module, given: (given[0] * 0,))
    assert torch_private.has_forward_hooks(module)
    (hook,) = torch_private.forward_pre_hooks(module[0]).values()
    torch_private.set_forward_pre_hooks(module[0], {})
    assert not torch_private.has_forward_hooks(module)
    torch_private.set_forward_pre_hooks(module[0], {0: hook})
    assert torch.equal(module(torch.ones(1, 2)), module[0].bias.detach()[None])


def test_fitted_attributes_of_scikit_learn():
    x = np.random.default_rng(0).normal(size=(60, 3))
    boosted = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5)
    assert not sklearn_private.is_boosted(boosted) and list(sklearn_private.boosted_trees(boosted)) == []
    boosted.fit(x, x.sum(1))
    for name in sklearn_private.BOOSTED:
        require(boosted, name, "sklearn.ensemble.HistGradientBoostingRegressor")
    assert len(list(sklearn_private.boosted_trees(boosted))) == 2
    assert sklearn_private.categorical_features(boosted).shape == (3,)
    machine = SVR().fit(x, x.sum(1))
    for name in (*sklearn_private.SUPPORT_VECTORS, *sklearn_private.COMPILED):
        require(machine, name, "sklearn.svm.SVR")
    count = len(machine.support_vectors_)
    assert sklearn_private.dual_coefficients(machine).shape == (1, count)
    assert sklearn_private.support_counts(machine).shape == (2,) and sklearn_private.intercepts(machine).shape == (1,)
    assert not sklearn_private.is_sparse(machine)
    assert [np.size(each) for each in sklearn_private.probabilities(machine)] == [0, 0]


def own_names(trees: list[ast.AST]) -> set[str]:
    """Names that this package gives to functions, classes, variables and attributes."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }
    return defined | stored | own


def test_no_other_module_uses_a_private_part():
    trees = {
        file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text())
        for file in PACKAGE.rglob("*.py")
        if "compat" not in file.parts and "templates" not in file.parts
    }
    own, found = own_names(list(trees.values())), []
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and is_private(f"{node.module}.{node.names[0].name}"):
                found.append(f"{name}: from {node.module} import {node.names[0].name}")
            elif isinstance(node, ast.Import):
                found += [f"{name}: import {alias.name}" for alias in node.names if is_private(alias.name)]
            elif (isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own | PUBLIC) or (
                isinstance(node, ast.Attribute) and node.attr in optuna_private.REPEATED
            ):
                found.append(f"{name}: {ast.unparse(node)}")
    overridden = {"search/storage.py: super(PatientStorage, self)." + name for name in optuna_private.OVERRIDDEN}
    assert set(found) - overridden == set()
