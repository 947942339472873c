"""``show``: print the results of a study."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import STORAGE, studies


@click.command(short_help="Print the results of a study and its best trials.")
@click.argument("name", required=False, shell_complete=studies)
@click.option("--json", "as_json", is_flag=True, help="Print the study and all its trials as JSON.")
@click.option("--rows", type=click.IntRange(min=1), default=10, show_default=True, help="Number of trials to list.")
@STORAGE
def show(name: str | None, as_json: bool, rows: int, storage: str | None) -> None:
    """Print the results of study NAME and its trials, best first. Without NAME, show the study that changed last."""
    from dfkd_tune.locations import paths
    from dfkd_tune.reporting import summary_text, terminal_summary
    from dfkd_tune.reporting.findings import find, front
    from dfkd_tune.reporting.seed_noise import completed
    from dfkd_tune.search.attributes import REASON
    from dfkd_tune.search.listing import last_changed
    from dfkd_tune.search.loaded import load_study, plain_trial
    from dfkd_tune.search.ranking import recipe_name
    from dfkd_tune.training.rmse_words import outputs_in_words
    from dfkd_tune.utils.text import strict_json

    storage_url = paths.optuna_url(storage)
    found = load_study(storage_url, last_changed(storage_url) if name is None else name)
    trials = found.get_trials(deepcopy=False)
    if as_json:
        click.echo(
            strict_json.dumps(
                {
                    "study": found.study_name,
                    "attributes": found.user_attrs,
                    "trials": [plain_trial(trial) for trial in trials],
                },
                indent=1,
            )
        )
        return
    findings = find(found)
    console = terminal_summary.wide()

    def say(text: str, style: str | None = None) -> None:
        console.print(text, style=style, highlight=False, soft_wrap=True, markup=False)

    say(summary_text.headline(findings), style="bold")
    say(
        f"teacher {findings.teacher}, tier {findings.tier}, objective {findings.objective}; {summary_text.state_counts(findings)}"
    )
    if findings.by_output:
        say(f"by output, on the report bank: {outputs_in_words(findings.by_output)}")
    if findings.baseline is not None:
        rmse = "" if findings.baseline_rmse is None else f", RMSE {findings.baseline_rmse:.4g}"
        trained = "" if (had := findings.rows) is None or had.untuned is None else f", {had.untuned:,} answered rows"
        say(f"untuned baseline: {findings.objective} {findings.baseline:.4g}{rmse}{trained}")
    if findings.promoted is not None:
        say(f"promoted: {recipe_name(findings.promoted['trial'])}, the student of run {findings.run}")
    console.print()
    if findings.costs is not None:
        say(f"The front: no trial has less {findings.weighed} and a smaller {findings.objective}")
        console.print(terminal_summary.table(front(trials, findings.costs), findings.objective, findings.shortened))
        console.print()
    if findings.best is None:
        for trial in [trial for trial in trials if REASON in trial.user_attrs][-rows:]:
            say(f"trial {trial.number}: {trial.user_attrs[REASON]}")
        return
    console.print(terminal_summary.table(completed(trials)[:rows], findings.objective, findings.shortened))
    console.print()
    for question, answer in summary_text.questions(findings):
        console.print(f"[bold]{question}[/] {answer}", highlight=False)
