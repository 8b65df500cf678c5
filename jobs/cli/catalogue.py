"""``hub catalogue``: describe a release, serve the pages."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

from jobs.cli import home, show
from jobs.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="The catalogue: describe a release, serve the pages.")


@app.command()
def describe(
    number: Annotated[
        int | None, typer.Argument(metavar="RELEASE", help="Release; the current one by default.")
    ] = None,
    release: Annotated[int | None, typer.Option(help="The same, as an option.")] = None,
) -> None:
    """Make the figures of a release: counts of persons under 11 hidden, the others rounded."""
    from catalogue import db
    from jobs.lake import tables as lake
    from jobs.lake.layout import table_path
    from jobs.steps.describe import describe as step

    hub = home.hub()
    wanted = number if number is not None else release
    described = db.current_release(hub.engine) if wanted is None else db.get_release(hub.engine, wanted)
    if described is None:
        raise ConfigError("There is no such release.", next_step="`hub release list` shows those that exist")
    answer = step(
        hub.engine,
        described.id,
        lambda name: lake.read(hub.spark, table_path(hub.settings.lake, name), described.tables.get(name)),
        lambda name: show.say(f"release {described.id}: {name}"),
    )
    show.line({"release": described.id, **answer})


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; HUB_HOST or HUB_STEWARD_HOST by default.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; HUB_CATALOGUE_PORT or HUB_STEWARD_PORT by default.")] = None,
    steward: Annotated[
        bool, typer.Option("--steward", help="The stewards' pages: exact counts, small ones too.")
    ] = False,
) -> None:
    """Serve the catalogue's pages until stopped: the public's, or the stewards'."""
    import uvicorn

    from catalogue.web.app import create_app

    hub = home.hub(reads=True)
    settings, engine = hub.settings, hub.engine
    if steward:
        where, at, what = host or settings.steward_host, port or settings.steward_port, "The stewards' pages are"
        origins = airflow_origins(settings.host, settings.airflow_port, settings.airflow_public_url)
        names = {where, "127.0.0.1", "localhost", urlsplit(settings.steward_address).hostname or where}
        pages = create_app(engine, exact=True, airflow_origins=origins, hosts=names)
    else:
        where, at, what = host or settings.host, port or settings.catalogue_port, "The catalogue is"
        pages = create_app(engine)
    show.say(f"{what} at http://{where}:{at}/")
    uvicorn.run(pages, host=where, port=at, log_level="warning", access_log=False, server_header=False)


def airflow_origins(host: str, port: int, public_url: str | None = None) -> tuple[str, ...]:
    """Origins under which a browser shows Airflow: those that may frame the quality pages."""
    if public_url:
        return ("/".join(public_url.split("/")[:3]),)
    names = ("127.0.0.1", "localhost") if host in ("127.0.0.1", "localhost", "0.0.0.0", "::") else (host,)  # noqa: S104
    return tuple(f"http://{name}:{port}" for name in names)
