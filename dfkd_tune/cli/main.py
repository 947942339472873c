"""The command line: the command group, and the one place that turns errors into messages and exit statuses."""

from __future__ import annotations

import atexit
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence

import click

from dfkd_tune.cli.commands import COMMANDS
from dfkd_tune.cli.options import COMPLETION
from dfkd_tune.errors import DfkdError, Interrupted, shown
from dfkd_tune.locations.paths import without_credentials
from dfkd_tune.reporting.waiting import announce_waits
from dfkd_tune.utils.object_reference import raised
from dfkd_tune.utils.signals import Interrupts
from dfkd_tune.utils.user_code import own_output

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exceeded quota and a file that is too large."""
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Variables of OpenMP and of Intel's OpenMP. By default an idle thread computes in a loop, which other processes then miss."""
GENERATIONS = (10_000, 10, 10)
"""Thresholds of the garbage collector. By default it looks at imported modules again and again, for a fifth of the time of their import."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dfkd-tune")
def cli() -> None:
    """Compress a regression model whose training data are gone."""


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line; exit status 0: done, 1: expected failure, 2: usage error, 3: bug, 130: interrupted."""
    _let_idle_threads_sleep()
    gc.set_threshold(*GENERATIONS)
    atexit.register(gc.freeze)  # the interpreter collects several times as it ends
    with Interrupts() as interrupts:
        _run(interrupts)


def _run(interrupts: Sequence[int]) -> None:
    try:
        with own_output(), announce_waits(lambda line: click.echo(line, err=True)):
            cli(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)
        click.echo(without_credentials(text.getvalue()), err=True, nl=False)
        sys.exit(2)
    except DfkdError as error:
        click.echo(f"dfkd-tune: {without_credentials(str(error))}", err=True)
        sys.exit(1)
    except Interrupted as stop:
        click.echo(f"interrupted; run the same command again to go on with {stop}", err=True)
        sys.exit(130)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)
    except OSError as error:
        if error.errno not in FULL:
            sys.exit(_unexpected(error, interrupts))
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"dfkd-tune: {place}{error.strerror}; free some space, then run the same command again", err=True)
        sys.exit(1)
    except SystemExit as error:
        if COMPLETION in os.environ:  # click has answered a shell
            raise
        if isinstance(error.__context__, BrokenPipeError):  # click's own answer to a closed pipe
            os._exit(0)
        # This package never raises SystemExit; user code did, in a call that is not guarded.
        click.echo(f"dfkd-tune: a user's code {raised(error)}; a function must return, and end nothing", err=True)
        sys.exit(1)
    except Exception as error:
        sys.exit(_unexpected(error, interrupts))


def _let_idle_threads_sleep() -> None:
    """Call it before PyTorch is imported. What a user has set stays."""
    if not PASSIVE.keys() & os.environ.keys():
        os.environ.update(PASSIVE)


def _unexpected(error: BaseException, interrupts: Sequence[int]) -> int:
    """Write the traceback to a file, print its path, and return the exit status (1 for the error of a plug-in).

    After an interrupt it is no bug: a module whose import was interrupted fails later.
    """
    if interrupts:
        click.echo("interrupted", err=True)
        return 130
    import tempfile
    import traceback

    from dfkd_tune.utils.plugins import culprit

    text = without_credentials(traceback.format_exc())
    with tempfile.NamedTemporaryFile("w", prefix="dfkd-tune-", suffix=".log", delete=False) as file:
        file.write(text)
    last = shown(text.strip().splitlines()[-1][:300])
    plugin = culprit(error)
    if plugin is not None:
        click.echo(f"dfkd-tune: plug-in {plugin}: raised {last}; the traceback is in {file.name}", err=True)
        return 1
    click.echo(f"dfkd-tune: a bug: {last}; the traceback is in {file.name}", err=True)
    return 3
