"""``list``: list the studies of a storage."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import STORAGE


@click.command("list", short_help="List the studies, the last changed first.")
@click.option("--json", "as_json", is_flag=True, help="Print the studies as JSON.")
@STORAGE
def list_studies(as_json: bool, storage: str | None) -> None:
    """List the studies of a storage: teacher, trials by state, best objective, tier and last change."""
    from rich.table import Table
    from rich.text import Text

    from dfkd_tune.errors import shown
    from dfkd_tune.locations import paths
    from dfkd_tune.reporting.terminal_summary import wide
    from dfkd_tune.search.listing import listed
    from dfkd_tune.utils.text import strict_json

    found = listed(paths.optuna_url(storage))
    if as_json:
        click.echo(strict_json.dumps([study.plain() for study in found], indent=1))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("study", "teacher", "trials", "best trial", "tier", "changed"):
        table.add_column(name, overflow="fold")
    for study in found:
        states = ", ".join(f"{count:,} {state}" for state, count in study.trials.items()) or "none yet"
        best = "" if study.best is None else f"{study.best:.4g}" + (f" {study.objective}" if study.objective else "")
        changed = "" if study.changed is None else study.changed.isoformat(" ", "minutes")
        teacher = study.teacher or "(a study of another program)"
        cells = (study.name, teacher, states, best, study.tier or "", changed)
        table.add_row(*(Text(shown(cell)) for cell in cells))
    wide().print(table)
