"""``ui``: show the runs in the MLflow UI."""

from __future__ import annotations

import os
import sys

import click

from dfkd_tune.cli.options import TRACKING
from dfkd_tune.errors import DfkdError


@click.command(short_help="Open the MLflow UI on this machine.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port to serve on.")
@TRACKING
def ui(port: int, tracking_uri: str | None) -> None:
    """Serve the MLflow UI at 127.0.0.1, for this machine only."""
    import shlex
    import socket

    from dfkd_tune.locations import paths
    from dfkd_tune.tracking import connection

    uri = paths.tracking_url(tracking_uri)
    if uri.startswith(("http://", "https://")):
        click.echo(f"these runs are at {paths.without_credentials(uri)}")
        return
    connection.preflight(uri)
    connection.open_client(uri)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DfkdError(
                f"port {port}", f"cannot be used: {error.strerror}", remedy="choose another with --port"
            ) from None
    command = ["mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    shown = paths.without_credentials(shlex.join([*command, "--backend-store-uri", uri]))
    click.echo(f"http://127.0.0.1:{port}\n{shown}")
    sys.stdout.flush()
    # Every user of a machine can read a process's arguments, but not its environment: the URI may hold a password.
    os.execve(sys.executable, [sys.executable, "-m", *command], os.environ | {"MLFLOW_BACKEND_STORE_URI": uri})
