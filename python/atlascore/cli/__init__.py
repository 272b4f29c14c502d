"""The command line: one file per command, loaded when the command is run."""

from __future__ import annotations

from importlib import import_module

import click

from atlascore._version import __version__

__all__ = ["main"]

_COMMANDS = ("demo", "scan")  # modules beside this one; each has a `command`


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"atlascore.cli.{name}").command
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`atlascore COMMAND --help` shows the options of a command and an example.",
)
@click.version_option(__version__, message="atlascore %(version)s")
def main() -> None:
    """Detect and stop attacks on AI models: MITRE ATLAS techniques as running Sigma rules."""
