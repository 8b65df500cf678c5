"""The agent's commands: ``hub-agent`` on a contributor's own machine, ``hub agent`` in a hub.

Words and progress go to standard error, one line of JSON to standard output. Whatever happens ends in one line that
says what to do and in an exit code, never in a traceback, which could quote data.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from traceback import extract_tb
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID

from jobs.contributors.agent.declare import Progress
from jobs.contributors.agent.declare import declare as write_manifest
from jobs.contributors.agent.pseudonymise import AgentReport, contributors_key
from jobs.contributors.agent.pseudonymise import pseudonymise as write_delivery
from jobs.delivery import DeliveryId
from jobs.errors import HubError, UnexpectedState
from jobs.keys import check_value

HELP = "The contributor's own agent: makes stage-1 pseudonyms before anything leaves the practice."
SHOWN_SENDERS = 20

Source = Annotated[str, typer.Option(help="Source, as the contract names it, for example ville.")]
Period = Annotated[str, typer.Option(help="Month of the delivery, YYYY-MM.")]
Version = Annotated[
    int, typer.Option(min=1, help="1 for the first delivery of the month, more for a correction.", show_default=False)
]
Inbox = Annotated[Path | None, typer.Option(help="Folder of raw exports, <period>/v<n>/*.csv.")]
Outbox = Annotated[Path | None, typer.Option(help="Folder of deliveries, <source>/<period>/v<n>/.")]
Key = Annotated[Path | None, typer.Option(help="The contributors' stage-1 key file (0400).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read, check and count everything, and deliver nothing.")]
Synthetic = Annotated[bool, typer.Option("--synthetic", help="Declare that the rows are made up.")]
Json = Annotated[bool, typer.Option("--json", help="The line of JSON in a terminal too.")]


@dataclass(frozen=True)
class Places:
    """Where a contributor's files lie when no option says otherwise."""

    inbox: Path
    outbox: Path
    key: Path


def to_app(places: Callable[[str], Places]) -> typer.Typer:
    """The commands ``pseudonymise`` and ``declare``. ``places``: a source's, when an option is not given."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)

    @app.callback()
    def agent() -> None:
        """The contributor's own agent: makes stage-1 pseudonyms before anything leaves the practice."""

    @app.command()
    def pseudonymise(
        source: Source,
        period: Period,
        version: Version,
        inbox: Inbox = None,
        outbox: Outbox = None,
        key: Key = None,
        synthetic: Synthetic = False,
        dry_run: DryRun = False,
        json: Json = False,
    ) -> None:
        """Replace the NIRs of an export by stage-1 pseudonyms and deliver it."""
        with no_traceback(), bars() as progress:
            delivery = DeliveryId(source, period, version)
            default = places(source)
            report = write_delivery(
                delivery,
                inbox=inbox or default.inbox,
                outbox=outbox or default.outbox,
                key_file=key or default.key,
                progress=progress,
                dry_run=dry_run,
                synthetic=synthetic,
            )
        say(words(report, dry_run=dry_run))
        answer(report.to_dict() | {"put_out": not dry_run}, always=json)

    @app.command()
    def declare(
        source: Source,
        period: Period,
        version: Version,
        outbox: Outbox = None,
        key: Key = None,
        synthetic: Synthetic = False,
        dry_run: DryRun = False,
        json: Json = False,
    ) -> None:
        """Write the manifest of files that lie in the outbox, which announces them."""
        with no_traceback(), bars() as progress:
            delivery = DeliveryId(source, period, version)
            default = places(source)
            check = check_value(contributors_key(key or default.key))
            files = write_manifest(
                delivery,
                outbox=outbox or default.outbox,
                key_check=check,
                progress=progress,
                dry_run=dry_run,
                synthetic=synthetic,
            )
        done = "would be declared" if dry_run else "declared"
        say([f"{delivery}: {len(files)} files, {sum(f.rows for f in files):,} rows {done}."])
        answer(
            {"delivery": str(delivery), "files": [f.model_dump() for f in files], "put_out": not dry_run}, always=json
        )

    return app


def words(report: AgentReport, *, dry_run: bool) -> Iterator[str]:
    """What became of an export, line by line: rows, statuses by sender, codes, and what was left."""
    rows = sum(f.rows for f in report.files)
    done = "would be delivered" if dry_run else "delivered"
    yield f"{report.delivery}: {len(report.files)} files, {rows:,} rows {done}."
    for sender, statuses in list(report.senders.items())[:SHOWN_SENDERS]:
        counts = ", ".join(f"{status} {n:,}" for status, n in statuses.items())
        yield f"  {sender or 'patients'}: {counts or 'no patient'}"
    if len(report.senders) > SHOWN_SENDERS:
        counts = ", ".join(f"{status} {n:,}" for status, n in report.statuses.items())
        yield f"  ... {len(report.senders)} in all: {counts}"
    for column, n in report.rewritten.items():
        yield f"  {column}: {n:,} codes written as the contract has them."
    for column, n in report.unknown_codes.items():
        yield f"  {column}: {n:,} values are not codes of the contract; the hub will put these rows aside."
    for entry in report.left:
        yield f"  not taken: {entry.name} ({entry.why})"


def say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line, err=True)


def answer(content: dict[str, object], *, always: bool) -> None:
    """One line of JSON for programs; a person at a terminal gets it on request."""
    if always or not sys.stdout.isatty():
        typer.echo(json.dumps(content))


@contextmanager
def bars() -> Iterator[Progress]:
    """One bar a file, in a terminal only."""
    tasks: dict[str, TaskID] = {}
    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done, visible=done < total)

        yield progress


@contextmanager
def no_traceback() -> Iterator[None]:
    """Turns a fault that nobody foresaw into an error of the hub that names the place in the code, and no value."""
    try:
        yield
    except HubError:
        raise
    except Exception as fault:
        last = extract_tb(fault.__traceback__)[-1]
        raise UnexpectedState(
            f"A fault of the agent: {type(fault).__name__} in {Path(last.filename).name}, line {last.lineno}.",
            reason="fault",
            next_step="Please report this line to the hub; nothing was delivered.",
        ) from None


def _here(_: str) -> Places:
    return Places(Path("inbox"), Path("outbox"), Path("p1.key"))


app = to_app(_here)


def main() -> None:
    """Entry point of ``hub-agent``: its folders and its key lie where it is run, unless an option says otherwise."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"hub-agent {installed('healthhub')}\n")
        return
    try:
        app(prog_name="hub-agent")
    except HubError as error:
        sys.stderr.write(f"hub-agent: {error.reason}: {error}\n")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
