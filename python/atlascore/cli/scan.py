"""`atlascore scan`: logs replayed through the engine that enforces, offline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from atlascore.policy import Mode, Policy
    from atlascore.scanning import Scan

__all__ = ["command"]

ACTIONS = ("ALLOW", "LOG", "CONSTRAIN", "BLOCK")
FORMATS = ("table", "jsonl", "csv")


class _Unusable(click.ClickException):
    """Wrong input: what is wrong goes to standard error."""

    exit_code = 2

    def __init__(self, why: str | Exception) -> None:
        if isinstance(why, OSError):
            why = f"{why.filename}: {why.strerror}" if why.filename is not None else str(why.strerror)
        super().__init__(str(why))


class _ScanCommand(click.Command):
    """A command whose --rules takes several paths, up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_spread(args)))


def _spread(args: list[str]) -> Iterator[str]:
    """`--rules a b --json` as `--rules a --rules b --json`."""
    several = False
    for i, arg in enumerate(args):
        if arg == "--":
            yield from args[i:]
            return
        if arg == "--rules":
            several = True
        elif several and (arg == "-" or not arg.startswith("-")):
            yield from ("--rules", arg)
        else:
            several = False
            yield arg


@click.command(
    "scan",
    cls=_ScanCommand,
    short_help="Replay logs through the engine and report what it finds.",
    epilog="\b\nExample: atlascore scan access.jsonl --policy atlascore.yml --json > findings.jsonl",
)
@click.argument("files", nargs=-1, type=click.Path(), metavar="FILE...")
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(dir_okay=False),
    help="Policy file; the shipped one by default.",
)
@click.option(
    "--rules",
    multiple=True,
    type=click.Path(),
    metavar="PATH...",
    help="Sigma files or directories to add to the policy's rules, up to the next option.",
)
@click.option("--mode", type=click.Choice(("enforce", "shadow", "off")), help="Replaces the policy's mode.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="How to print findings.  [default: table]")
@click.option("--all", "everything", is_flag=True, help="Print every event, not only findings.")
@click.option(
    "--fail-on",
    type=click.Choice(ACTIONS, case_sensitive=False),
    default="CONSTRAIN",
    show_default=True,
    metavar="ACTION",
    help="Exit with 1 when a finding has at least this action (ALLOW, LOG, CONSTRAIN, BLOCK); what shadow "
    "rules would have done counts.",
)
@click.option(
    "--capacity",
    type=click.IntRange(1, 1 << 30),
    metavar="N",
    help="Pairs of principal and model to keep apart.  [default: the policy's]",
)
@click.option(
    "--baseline",
    "baseline_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The log is honest traffic: instead of findings, write to FILE (JSON) percentiles of every signal over its "
    "principals and how often each component of evidence is hit, and propose thresholds. A policy may name FILE as a "
    "model's baseline.",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    help="With --baseline: the share of principals that a rule may match.  [default: 0.01]",
)
@click.option("--strict-input", is_flag=True, help="Exit with 2 when a line cannot be read.")
@click.pass_context
def command(
    ctx: click.Context,
    files: tuple[str, ...],
    policy_file: str | None,
    rules: tuple[str, ...],
    mode: Mode | None,
    as_json: bool,
    form: str | None,
    everything: bool,
    fail_on: str,
    capacity: int | None,
    baseline_file: Path | None,
    false_alarms: float | None,
    strict_input: bool,
) -> None:
    """Replay logs through the engine, in the order of the events' own times, and report every event that a
    rule matches or that gets more than ALLOW.

    FILE holds JSON lines: the keys are the arguments of Engine.decide, with `time` for `now`, and "response"
    holds those of Engine.record. `-` is standard input. Lines that cannot be read are reported, counted and
    skipped.

    With --baseline the policy runs in shadow mode unless --mode says otherwise, and findings are neither printed nor
    counted for the exit status.

    The exit status is 0 when all is well, 1 when there are findings at or above --fail-on, 2 for wrong usage
    or unreadable input.
    """
    if not files:
        hint = "; what follows --rules is rules, so put the files first" if rules else ""
        raise click.UsageError(f"no file to scan{hint}")
    if as_json and form not in (None, "jsonl"):
        raise click.UsageError(f"--json and --format {form} contradict each other")
    if baseline_file is None and false_alarms is not None:
        raise click.UsageError("--false-alarms is for --baseline")
    if baseline_file is not None:
        if as_json or form is not None or everything:
            raise click.UsageError("--baseline prints no findings, so --json, --format and --all have no meaning")
        policy = _load(policy_file, rules, mode or "shadow")
        _baseline(files, policy, capacity, baseline_file, false_alarms or 0.01, strict_input)
        return
    from atlascore.cli.findings import finding_of, printer
    from atlascore.cli.progress import Progress
    from atlascore.events import Action
    from atlascore.scanning import Scan, offline_engine

    form = "jsonl" if as_json else form or "table"
    policy = _load(policy_file, rules, mode)
    titles = {rule.id: rule.title for rule in policy.rules.rules}
    out = printer(form, sys.stdout, titles)
    with (
        Progress(form == "table" or not sys.stdout.isatty()) as progress,
        offline_engine(policy, capacity) as engine,
    ):
        try:
            scan = Scan(files, engine, findings_only=not everything, on_bad_line=progress.bad_line)
            for event, decision in scan:
                finding = finding_of(event, decision, policy)
                progress.note(finding)
                out.add(finding)
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise _Unusable(error) from None
    out.finish()
    if form == "table":
        progress.finish(scan.counts)
    _check_input(scan, strict_input)
    ctx.exit(1 if progress.worst is not None and progress.worst >= Action[fail_on.upper()] else 0)


def _baseline(
    files: tuple[str, ...], policy: Policy, capacity: int | None, file: Path, false_alarms: float, strict_input: bool
) -> None:
    from atlascore.cli.baseline import Baseline, show, write
    from atlascore.cli.progress import Progress
    from atlascore.scanning import Scan, offline_engine

    baseline = Baseline(policy, false_alarms)
    with Progress(True) as progress, offline_engine(policy, capacity, census=True) as engine:
        try:
            scan = Scan(files, engine, on_bad_line=progress.bad_line)
            for event, decision in scan:
                baseline.add(event, decision)
                progress.at(event)
        except (OSError, ValueError) as error:
            raise _Unusable(error) from None
        _check_input(scan, strict_input)
        report = baseline.report(files, engine)
    try:
        write(report, file)
    except OSError as error:
        raise _Unusable(error) from None
    progress.finish(scan.counts, findings=False)
    show(report, baseline.worst)


def _check_input(scan: Scan, strict: bool) -> None:
    """Lines that are no events have been told one by one; what is wrong as a whole is an error."""
    counts = scan.counts
    if unreadable := ", ".join(scan.unreadable):
        raise _Unusable(f"{unreadable}: no line is an event; FILE must hold JSON lines, see atlascore scan --help")
    if counts["bad"] and strict:
        raise _Unusable(f"{counts['bad']:,} lines are no events; without --strict-input they are skipped")


def _load(file: str | None, rules: tuple[str, ...], mode: Mode | None) -> Policy:
    """The policy, with more rules and perhaps another mode. What it warns of goes to standard error."""
    from atlascore.policy import Policy

    try:
        if file is None:
            policy = Policy.default(mode or "shadow", rules=rules)
        else:
            policy = Policy.load(file, mode=mode, rules=rules)
    except (OSError, ValueError) as error:
        raise _Unusable(error) from None
    for problem in policy.problems:
        click.echo(problem, err=True)
    return policy
