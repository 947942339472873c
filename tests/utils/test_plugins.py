"""Kinds of installed packages: ours come first, a broken one is told to whoever asks for it, and nobody else."""

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from asked import fails

from dfkd_tune.errors import PluginError
from dfkd_tune.generators.base import BlockGenerator, Generator
from dfkd_tune.generators.gaussian import Gaussian
from dfkd_tune.utils.plugins import Registry, culprit, package_of
from dfkd_tune.utils.strategy import strategy


@strategy
class Plain(Gaussian):
    """A generator as a package would offer it."""


class Undeclared(Gaussian):
    """A generator whose fields are not checked."""

    width: int = 3


@strategy
class Demanding(Gaussian):
    """A generator that cannot be made without arguments."""

    width: int


class Abstract(BlockGenerator):
    """A generator that draws nothing."""


OFFERED = {
    "gaussian": "Plain",
    "plain": "Plain",
    "undeclared": "Undeclared",
    "demanding": "Demanding",
    "abstract": "Abstract",
    "other": "pytest",
    "gone": "Gone",
}


@pytest.fixture
def registry(monkeypatch) -> Registry:
    """A registry with kinds of this file as entry points."""
    group = "dfkd_tune.generators"
    entries = [EntryPoint(name, f"{__name__}:{value}", group) for name, value in OFFERED.items()]
    monkeypatch.setattr("dfkd_tune.utils.plugins.entry_points", lambda group: entries)
    monkeypatch.setitem(
        sys.modules, __name__, SimpleNamespace(**globals())
    )  # of files, pytest imports no modules by name
    return Registry("generators", Generator, {"gaussian": Gaussian})


def test_our_own_kinds_come_first(registry):
    assert registry["gaussian"] is Gaussian and registry["plain"] is Plain
    assert [*registry].count("gaussian") == 1 and len(registry) == len({*registry}) == len(OFFERED)
    assert registry.name_of(Plain) == "plain" and registry.name_of(int) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("undeclared", ["decorated with dfkd_tune.utils.strategy.strategy"]),
        ("demanding", ["whose fields all have defaults"]),
        ("abstract", ["must name a Generator with all its methods"]),
        ("other", ["must name a subclass of Generator"]),
        ("gone", ["cannot be imported", "AttributeError"]),
    ],
)
def test_a_broken_kind_is_told_to_whoever_asks_for_it(registry, name, words):
    for _ in range(2):
        with fails(f"entry point {name!r} of dfkd_tune.generators", *words, kind=PluginError):
            _ = registry[name]
    assert name in registry and name not in dict(registry.usable())
    assert {*dict(registry.usable())} == {"gaussian", "plain"}


def test_a_kind_knows_its_package():
    assert package_of(Gaussian) is None
    assert package_of(Plain) == __name__.partition(".")[0]


def test_an_error_of_ours_is_no_plugins():
    try:
        Demanding()
    except Exception as error:
        assert culprit(error) is None
