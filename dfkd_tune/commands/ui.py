"""``ui``: the runs in a browser."""

from __future__ import annotations

import os
import sys

import click

from ..errors import DfkdError
from .options import TRACKING


@click.command(short_help="The runs in a browser, on this machine.")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@TRACKING
def ui(port, tracking_uri) -> None:
    """Open the MLflow UI on this machine's loopback address."""
    import shlex
    import socket

    from .. import places, stores

    uri = places.tracking_url(tracking_uri)
    if uri.startswith(("http://", "https://")):
        click.echo(f"these runs are at {places.without_credentials(uri)}")
        return
    stores.preflight(uri)
    stores.client(uri)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DfkdError(
                f"port {port}", f"cannot be used: {error.strerror}", remedy="choose another with --port"
            ) from None
    command = ["mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    shown = places.without_credentials(shlex.join([*command, "--backend-store-uri", uri]))
    click.echo(f"http://127.0.0.1:{port}\n{shown}")
    sys.stdout.flush()
    # Everybody on a machine may read the arguments of its processes, but not their environment.
    os.execve(sys.executable, [sys.executable, "-m", *command], os.environ | {"MLFLOW_BACKEND_STORE_URI": uri})
