"""What pages of documentation name exists: strategies, commands and their options, modules, other pages."""

import re
import shlex

import pytest
from click import ClickException, MissingParameter
from pages import PAGES, ROOT, Page

from dfkd_tune.cli.main import cli
from dfkd_tune.generators.kinds import GENERATORS
from dfkd_tune.recipes.assistants import ASSISTANTS
from dfkd_tune.recipes.checkpoints import CHECKPOINTS
from dfkd_tune.recipes.gap_bounds import GAP_BOUNDS
from dfkd_tune.recipes.initializers import INITIALIZERS
from dfkd_tune.recipes.input_bounds import INPUT_BOUNDS
from dfkd_tune.recipes.losses import LOSSES
from dfkd_tune.recipes.mixing import ALPHAS
from dfkd_tune.recipes.optimizers import OPTIMIZERS
from dfkd_tune.recipes.presets import PRESETS
from dfkd_tune.recipes.refiners import REFINERS
from dfkd_tune.students.kinds import STUDENTS


@pytest.mark.parametrize(
    "registry",
    [
        *(GENERATORS, GAP_BOUNDS, INPUT_BOUNDS, ALPHAS, LOSSES, INITIALIZERS, OPTIMIZERS, REFINERS),
        *(CHECKPOINTS, ASSISTANTS, STUDENTS, PRESETS),
    ],
)
def test_every_strategy_is_explained(registry):
    text = Page("explanation/method.md").text
    for name in registry:
        assert f"`{name}`" in text, name


def test_guarantees_name_what_there_is():
    assert Page("guides/guarantees.md").commands() == [
        ["dfkd-tune", "register", "pump", "--model", "pump"]
    ]  # the tutorial's


def test_every_command_that_is_told_can_be_said():
    """Click refuses options that do not exist and values that they do not take; what a sentence leaves out may be missing."""
    told = 0
    for page in PAGES:
        text = re.sub(r"\n(?=--)", " ", page.read_text(encoding="utf-8"))
        for name, rest in re.findall(rf"dfkd-tune ({'|'.join(cli.commands)}) ([^`#|;&\n'\")]*)", text):
            words = shlex.split(re.sub(r"\bN\b", "20", rest))
            try:
                cli.commands[name].make_context(name, words)
            except MissingParameter:
                assert not words or words[0].startswith("--"), (page.name, name, words)
            except ClickException as error:
                pytest.fail(f"{page.name}: dfkd-tune {name} {rest}: {error.format_message()}")
            told += 1
    assert told > 30


@pytest.mark.parametrize("page", ["explanation/written-by-hand.md", "explanation/architecture.md"])
def test_what_is_written_by_hand_is_there(page):
    """Modules in the first column of a table."""
    rows = [line.split("|")[1] for line in Page(page).text.splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall(r"`(\w+/[\w/]+)`", row)]
    assert len(named) > 15
    for name in named:
        assert (ROOT / "dfkd_tune" / f"{name}.py").exists(), name


def test_pages_lead_to_pages():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)
