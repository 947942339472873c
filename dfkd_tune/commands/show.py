"""``show``: the trials of a study."""

from __future__ import annotations

from typing import Any

import click

from .options import STORAGE


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@STORAGE
def show(name, as_json, storage) -> None:
    """The trials of a study, best first."""
    import json

    from rich.console import Console

    from .. import places, screen
    from ..recorded import load_study

    found = load_study(places.optuna_url(storage), name)
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


def _plain(trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.values[0] if trial.values else None,
        "params": trial.params,
        "attributes": {k: v for k, v in trial.user_attrs.items() if k != "worker"},
    }
