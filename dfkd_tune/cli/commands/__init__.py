"""Thin commands, one file each. A command imports heavy modules when it runs, so that ``--help`` stays fast."""

from dfkd_tune.cli.commands import (
    check,
    completion,
    describe,
    distill,
    evaluate,
    export,
    latency,
    register,
    report,
    show,
    study,
    sync,
    ui,
    worker,
)
from dfkd_tune.cli.housekeeping import compare, list, remove, rename, rollback

COMMANDS = (
    study.study,
    worker.worker,
    check.check,
    describe.describe,
    list.list_studies,
    show.show,
    compare.compare,
    report.report,
    register.register,
    rollback.rollback,
    export.export,
    latency.latency,
    evaluate.evaluate,
    distill.distill,
    sync.sync,
    rename.rename,
    remove.remove,
    ui.ui,
    completion.completion,
)
