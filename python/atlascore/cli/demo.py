"""`atlascore demo`: a model is stolen from, and defended, on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

__all__ = ["command"]

_INTERRUPTED = 130  # as shells report it


@click.command(
    "demo",
    epilog="Example: atlascore demo --log demo-log",
    short_help="Serve a model, let a thief at it, and watch.",
)
@click.option(
    "--log",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the decision log; a new temporary one by default.",
)
@click.pass_context
def command(ctx: click.Context, log: Path | None) -> None:
    """Train a classifier, serve it on loopback behind the middleware, and run clients against it: forty
    ordinary users, a nightly batch job, a camera, somebody who probes around a few images, and a thief who searches
    the decision boundary. The shipped policy, in enforce mode, decides.

    Takes about a minute. The exit status is 0 when the thief was constrained and then blocked, the prober logged,
    and nobody else constrained or blocked; 1 otherwise.
    """
    try:
        from atlascore.demo.play import play
    except ModuleNotFoundError as missing:
        raise click.UsageError(
            f"the demo needs {missing.name}, which is not installed: pip install 'atlascore[demo]'"
        ) from None
    from rich.console import Console

    directory = log or Path(tempfile.mkdtemp(prefix="atlascore-demo-"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"{directory}: {error.strerror}", ctx, param_hint="--log") from None
    try:
        ctx.exit(0 if play(Console(highlight=False), directory) else 1)
    except KeyboardInterrupt:
        click.echo(f"stopped; the log so far is in {directory}", err=True)
        ctx.exit(_INTERRUPTED)
