"""``register``: put a student in the MLflow model registry."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import NAME, TRACKING, current_files, share
from dfkd_tune.registry.sources import Sources


@click.command(short_help="Register a student in the MLflow model registry.")
@NAME
@click.option("--model", required=True, help="Name of the registered model.")
@click.option("--trial", type=click.IntRange(min=0), help="Number of the trial; default: the promoted student.")
@click.option(
    "--smallest-within",
    "within",
    metavar="SHARE",
    type=share,
    help="Register the smallest student whose error is within this share of the best, such as 5%.",
)
@click.option("--alias", default="champion", show_default=True, help="Registry alias for the new version.")
@click.option(
    "--typed-columns",
    is_flag=True,
    help="Declare the features by name and type in the signature; MLflow then refuses tables with other types.",
)
@current_files
@TRACKING
def register(
    name: str,
    model: str,
    trial: int | None,
    within: float | None,
    alias: str,
    typed_columns: bool,
    sources: Sources,
    tracking_uri: str | None,
) -> None:
    """Register a student of study NAME in the MLflow model registry, with its certificate.

    Before it sets the alias, the command reloads the registered model and compares it with the student.
    """
    if trial is not None and within is not None:
        raise click.UsageError("--trial and --smallest-within exclude each other")
    from shlex import quote

    from dfkd_tune.locations import paths
    from dfkd_tune.registry import register
    from dfkd_tune.search.ranking import recipe_name
    from dfkd_tune.tracking.connection import reaching

    uri = paths.tracking_url(tracking_uri)
    with reaching(uri):
        done = register.register(uri, name, model, trial, alias, sources, within, typed_columns)
    click.echo(
        f"registered {done.uri}, version {done.version}: {recipe_name(done.trial)}, RMSE {done.rmse:.4g} on the selection bank; "
        f"the reloaded model differs from the student by at most {done.worst:.2g}"
    )
    if done.shortened is not None:
        from dfkd_tune.reporting.summary_text import short_student

        click.echo(f"{recipe_name(done.trial)}: {short_student(done.shortened)}")
    if done.report_rmse is not None:
        click.echo(
            f"certificate runs:/{done.run_id}/certificate: RMSE {done.report_rmse_words}, on the report bank; "
            f"worst gap found {done.worst_gap_words}"
        )
    if done.outputs_words is not None:
        click.echo(f"by output, on the report bank: {done.outputs_words}")
    where = f"MLFLOW_TRACKING_URI={quote(paths.without_credentials(uri))}"
    click.echo(f"Serve it: {where} mlflow models serve -m '{done.uri}' --env-manager local --port 5001")
