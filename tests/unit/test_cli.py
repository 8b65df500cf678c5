"""The manners of the command: what it says of mistakes, and what it never says."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from jobs.cli import run
from jobs.errors import ContractRefused

SECRET = "1840575056789"


def ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception) -> tuple[int, str]:
    """Exit code and words of a command that raises."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["hub"])
    with pytest.raises(SystemExit) as ended:
        run(app, "hub")
    return int(ended.value.code or 0), capsys.readouterr().err


def test_an_error_of_the_hub_is_one_line_with_the_next_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = ContractRefused("dcir lacks a column.", reason="missing_column", next_step="send it again")
    code, words = ends(capsys, monkeypatch, error)
    assert (code, words) == (11, "hub: missing_column: dcir lacks a column. Next: send it again\n")


def test_a_fault_says_where_and_never_what_it_held(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, words = ends(capsys, monkeypatch, ValueError(f"bad value {SECRET}"))
    assert code == 1
    assert "ValueError at tests/unit/test_cli.py:" in words
    assert SECRET not in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    ("words", "suggested"),
    [(["delivry"], "delivery"), (["delivery", "lst"], "list"), (["delivery", "list", "--sorce"], "--source")],
)
def test_a_typing_error_is_answered_with_what_was_meant(words: list[str], suggested: str) -> None:
    done = subprocess.run([sys.executable, "-m", "jobs.cli", *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert suggested in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_nouns_verbs_and_options(shell: str) -> None:
    program = [sys.executable, "-c", "from jobs.cli import main; main()"]

    def completed(line: str) -> str:
        place = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1), "_TYPER_COMPLETE_ARGS": line}
        return subprocess.run(
            program, env={"_HUB_COMPLETE": f"complete_{shell}", **place}, capture_output=True, text=True
        ).stdout

    assert "delivery" in completed("hub deli")
    assert "withdraw" not in completed("hub deli")
    assert "list" in completed("hub delivery l")
    assert "--source" in completed("hub delivery list --s")
