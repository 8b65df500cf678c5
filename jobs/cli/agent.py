"""``hub agent``: what a contributor runs on its own premises, with its own key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="The source agent, in the contributor's own custody.",
)


@app.callback()
def main() -> None:
    """The source agent, in the contributor's own custody."""


@app.command()
def pseudonymise(
    source: Annotated[str, typer.Option(help="Source whose export holds NIRs, for example ville.")],
    period: Annotated[str, typer.Option(help="Month of the delivery, YYYY-MM.")],
    version: Annotated[int, typer.Option(min=1, help="1 for the first delivery of the month, more for a correction.")],
    inbox: Annotated[Path | None, typer.Option(help="Folder of raw exports, <period>/v<n>/*.csv.")] = None,
    outbox: Annotated[Path | None, typer.Option(help="Folder of deliveries, <source>/<period>/v<n>/.")] = None,
    key: Annotated[Path | None, typer.Option(help="The contributors' stage-1 key file (0400).")] = None,
) -> None:
    """Replace the NIRs of an export by stage-1 pseudonyms and put the delivery out. Prints one line of JSON."""
    from jobs.delivery import DeliveryId
    from jobs.pseudonymise import agent
    from jobs.settings import Settings

    settings = Settings()
    report = agent.pseudonymise(
        DeliveryId(source, period, version),
        inbox=inbox or settings.root / "agents" / source / "inbox",
        outbox=outbox or settings.outbox.get(source, settings.outboxes),
        key_file=key or settings.keys / "contributors" / "p1.key",
    )
    rows = sum(f.rows for f in report.files)
    typer.echo(f"{report.delivery}: {len(report.files)} files, {rows} rows put out.", err=True)
    typer.echo(json.dumps(report.to_dict()))


@app.command()
def declare(
    source: Annotated[str, typer.Option(help="Source that sends stage-1 pseudonyms, for example dcir.")],
    period: Annotated[str, typer.Option(help="Month of the delivery, YYYY-MM.")],
    version: Annotated[int, typer.Option(min=1, help="1 for the first delivery of the month, more for a correction.")],
    outbox: Annotated[Path | None, typer.Option(help="Folder of deliveries, <source>/<period>/v<n>/.")] = None,
    key: Annotated[Path | None, typer.Option(help="The contributors' stage-1 key file (0400).")] = None,
) -> None:
    """Write the manifest of files that lie in the outbox, which announces them. Prints one line of JSON."""
    from jobs.delivery import DeliveryId
    from jobs.pseudonymise import agent
    from jobs.pseudonymise.declare import declare as step
    from jobs.pseudonymise.keys import check_value
    from jobs.settings import Settings

    settings = Settings()
    delivery = DeliveryId(source, period, version)
    check = check_value(agent.contributors_key(key or settings.keys / "contributors" / "p1.key"))
    files = step(delivery, outbox=outbox or settings.outbox.get(source, settings.outboxes), key_check=check)
    typer.echo(f"{delivery}: {len(files)} files, {sum(f.rows for f in files)} rows declared.", err=True)
    typer.echo(json.dumps({"delivery": str(delivery), "files": [f.model_dump() for f in files]}))
