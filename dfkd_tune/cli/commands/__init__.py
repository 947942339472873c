"""Thin commands, one file each. A command imports heavy modules when it runs, so that ``--help`` stays fast."""

from dfkd_tune.cli.commands import (
    check,
    completion,
    describe,
    distill,
    export,
    register,
    report,
    show,
    study,
    sync,
    ui,
    worker,
)

COMMANDS = (
    study.study,
    worker.worker,
    check.check,
    describe.describe,
    show.show,
    report.report,
    register.register,
    export.export,
    distill.distill,
    sync.sync,
    ui.ui,
    completion.completion,
)
