"""``check``: what a study would search, without starting it."""

from __future__ import annotations

from pathlib import Path

import click

from .options import TRUST


@click.command()
@click.argument("spec", type=click.Path())
@TRUST
def check(spec, trust_pickle) -> None:
    """Read a study file, probe its teacher, and say what would be searched; writes nothing."""
    import json

    from ..prepared import prepare
    from ..problem import affordable_rows
    from ..spec import read_spec

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
