"""``hub docs``: the documentation, for those who read it and for those who change the code."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated

import typer

from docs.tools import reference, site
from docs.tools.pictures import FOLDER, take
from jobs.cli import BESIDE, run, show
from jobs.errors import ConfigError
from jobs.settings import Settings

app = typer.Typer(
    pretty_exceptions_enable=False,
    help=BESIDE["docs"],
)


@app.command()
def docs(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 10 when a page, link or command does not hold.")
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the site until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="Port for --serve.")] = 8800,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Take the pictures again from the demo that runs in HUB_HOME.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="With --pictures: only these, by name.")] = None,
) -> None:
    """Write the reference pages from the code, check the texts, and build the site into .cache/docs/site."""
    if check:
        _require_sound()
        show.say(f"{len(site.texts())} texts: pages, links and commands hold.")
        return
    if pictures:
        take(Settings(), site.DOCS / FOLDER, show.say, tuple(only or ()))
        return
    for path in reference.write(site.DOCS):
        show.say(f"docs/{path} follows the code again")
    _require_sound()
    first = site.build()
    show.say(f"The site is in {first.parent}: open {first.name}, or `hub docs --serve`.")
    if serve:
        _serve(str(first.parent), port)


def _require_sound() -> None:
    """Says every fault of the texts, then raises ``ConfigError``."""
    sentences = site.faults()
    for sentence in sentences:
        show.say(sentence)
    if sentences:
        raise ConfigError(
            f"{len(sentences)} faults in the texts.", reason="docs", next_step="fix them, or run `hub docs`"
        )


def _serve(folder: str, port: int) -> None:
    """Serves a folder on loopback until Ctrl-C."""
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(SimpleHTTPRequestHandler, directory=folder))
    show.say(f"The site is at http://127.0.0.1:{port}/ until Ctrl-C.")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    run(app, "hub docs")
