"""``compare``: compare studies of one teacher."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import STORAGE, studies


@click.command(short_help="Compare studies of one teacher.")
@click.argument("names", nargs=-1, required=True, shell_complete=studies, metavar="NAME NAME [NAME ...]")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@STORAGE
def compare(names: tuple[str, ...], as_json: bool, storage: str | None) -> None:
    """Compare the promoted students of studies: settings that differ, RMSE with interval, and whether that exceeds seed noise.

    The interval comes from the re-runs of each promoted recipe on new seeds. The report bank chose nothing.
    """
    if len(set(names)) < 2:
        raise click.UsageError("name at least two studies")
    from rich.table import Table
    from rich.text import Text

    from dfkd_tune.locations import paths
    from dfkd_tune.reporting.findings import find
    from dfkd_tune.reporting.study_comparison import compare_studies
    from dfkd_tune.reporting.terminal_summary import wide
    from dfkd_tune.search.loaded import load_study
    from dfkd_tune.utils.text import strict_json

    storage_url = paths.optuna_url(storage)
    found = compare_studies([find(load_study(storage_url, name)) for name in dict.fromkeys(names)])
    if as_json:
        click.echo(strict_json.dumps(found.plain(), indent=1))
        return
    console = wide()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("study", "RMSE", "over seeds", "95 %", "report bank", "parameters", "complete", "recipe"):
        table.add_column(name, overflow="fold")
    for each in found.studies:
        interval = "" if each.low is None else f"{each.low:.4g} to {each.high:.4g}"
        cells = (each.name, f"{each.rmse:.4g}", f"{each.mean:.4g} of {each.seeds}", interval)
        cells += (
            "" if each.report is None else f"{each.report:.4g}",
            f"{each.parameters:,}",
            str(each.trials),
            each.recipe,
        )
        table.add_row(*map(Text, cells))
    console.print(table)
    console.print()
    for leaf, held in found.settings.items():
        told = ", ".join(f"{name} {'default' if value is None else value}" for name, value in held.items())
        console.print(f"{leaf}: {told}", highlight=False, markup=False, soft_wrap=True)
    console.print(found.verdict, style="bold", highlight=False, markup=False, soft_wrap=True)
