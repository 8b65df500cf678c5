"""The commands as typer knows them: their page of the reference, and a check of the commands that texts show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from jobs.cli import BESIDE, NOUNS, VERBS, app, loaded

SHELL = re.compile(r"^```(?:sh|shell|bash|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:\./)?hub [a-z][^`]*)`")
HELP = {**VERBS, **BESIDE, **NOUNS}
MODULES = {"bench": "bench.__main__", "docs": "docs.tools.__main__", "test": "tests.__main__"}
"""Commands that ``./hub`` runs from their own folders: where their options stand."""


@cache
def root() -> Any:
    """The whole tree of commands, every noun loaded."""
    command: Any = typer.main.get_command(app)
    command.commands = {name: loaded(name, MODULES.get(name)) for name in HELP}
    return command


def commands_page() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Commands",
        "",
        "All of them: `./hub <command> --help` prints the same. `--json` is there on what only reads.",
    ]
    for name, help_ in HELP.items():
        lines += ["", f"## hub {name}", "", help_]
        for path, command in _leaves(root().commands[name], f"hub {name}"):
            if path != f"hub {name}":
                lines += ["", f"### {path}"]
            lines += ["", " ".join((command.help or "").split()), *_parameters(command)]
    return "\n".join(lines) + "\n"


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if not subcommands:
        yield path, command
    for name, sub in (subcommands or {}).items():
        yield from _leaves(sub, f"{path} {name}")


def _parameters(command: Any) -> Iterator[str]:
    shown = [p for p in command.params if p.name != "help"]
    if shown:
        yield from ("", "| option | default | meaning |", "|---|---|---|")
    for p in shown:
        argument = p.param_type_name == "argument"
        name = str(p.metavar or p.name).upper() if argument else ", ".join([*p.opts, *p.secondary_opts])
        default = p.default if isinstance(p.default, str | int | float) and not isinstance(p.default, bool) else ""
        required = "required" if p.required else default
        yield f"| `{name}` | {required} | {in_cell(getattr(p, 'help', None) or '')} |"


def in_cell(text: str) -> str:
    """A text in a cell of a table: a bar would end the cell; outside code ``<`` begins a tag and ``*`` stress."""
    pieces = text.replace("|", "\\|").replace("\n", " ").split("`")
    return "`".join(p if i % 2 else p.replace("<", "&lt;").replace("*", r"\*") for i, p in enumerate(pieces))


def shown_commands(text: str) -> Iterator[str]:
    """Lines of shell blocks that call the hub, and inline code that does, as they stand in a Markdown text."""
    for block in SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            bare = re.sub(r"\s+#.*$", "", line.removeprefix("$ ").strip())
            bare = re.sub(r"^(?:[A-Z_]+=\S*\s+)+", "", bare)
            if bare.startswith(("./hub ", "hub ")):
                yield bare
    for inline in INLINE.findall(text):
        yield inline.replace("\n", " ")


def fault(line: str) -> str | None:
    """What is wrong with a command that a text shows: an unknown command or option; None when it exists.

    Placeholders (``<n>``, ``...``) stand for arguments; arguments themselves are not judged.
    """
    try:
        words = shlex.split(line.replace("./hub", "hub", 1))[1:]
    except ValueError:
        return "cannot be split into words"
    command = root()
    while words and getattr(command, "commands", None) and not words[0].startswith("-"):
        name = words.pop(0)
        if name not in command.commands:
            return f"there is no command {name}"
        command = command.commands[name]
    known = {"--help", "--version"}.union(*((*p.opts, *p.secondary_opts) for p in command.params))
    if command.context_settings.get("ignore_unknown_options"):
        return None
    for word in words:
        if word.startswith("--") and word.split("=")[0] not in known:
            return f"there is no option {word.split('=')[0]}"
    return None
