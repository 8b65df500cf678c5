"""The documentation says what the code says: reference pages, links, commands; and the check can fail."""

from __future__ import annotations

import re
import shutil
import textwrap
import tomllib
from pathlib import Path

import pytest

from docs.tools import commands, pictures, reference, site
from jobs.quality.rule import Rule
from jobs.quality.rules import load_rules
from schemas.loader import load, source_names


def test_pages_links_and_commands_hold() -> None:
    assert site.faults() == []


def test_a_page_that_the_code_left_behind_is_found_and_written_again(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    for folder in ("reference", "pictures"):
        shutil.copytree(site.DOCS / folder, docs / folder)
    assert reference.stale(docs) == []
    settings, extra = docs / "reference" / "settings.md", docs / "reference" / "gone.md"
    settings.write_text(settings.read_text().replace("15002", "15003"))
    extra.write_text("# A command that was removed\n")
    assert reference.stale(docs) == ["reference/gone.md", "reference/settings.md"]
    assert reference.write(docs) == ["reference/gone.md", "reference/settings.md"]
    assert not extra.exists()
    assert reference.stale(docs) == []


def test_every_source_has_its_contract_and_its_rules() -> None:
    made = reference.pages()
    assert {f"reference/{what}/{s}.md" for what in ("contracts", "rules") for s in source_names()} <= made.keys()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```sh\n./hub delivery list --json   # all of them\n```", []),
        ("```sh\nHUB_HOME=/srv/hub ./hub delivery pull --source dcir \\\n  --period 2024-03\n```", []),
        ("see `hub release list` and `./hub up`", []),
        ("```sh\n./hub deliveries list\n```", ["there is no command deliveries"]),
        ("```sh\n./hub delivery lst\n```", ["there is no command lst"]),
        ("```sh\n./hub delivery list --sorce dcir\n```", ["there is no option --sorce"]),
        ("run `hub release list --all`", ["there is no option --all"]),
    ],
)
def test_a_command_that_a_text_shows_exists(text: str, wrong: list[str]) -> None:
    shown = list(commands.shown_commands(text))
    assert len(shown) >= 1
    assert [w for line in shown if (w := commands.fault(line))] == wrong


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](b.md) [b](b.md#a-heading-with-code-in-it) [c](#here) [d](https://example.org)\n# Here\n", []),
        ("`[x](nowhere.md)`\n```\n[y](nowhere.md)\n```\n", []),
        ("[a](c.md)", ["c.md"]),
        ("![a](p.png)", ["p.png"]),
        ("[a](b.md#gone) [b](#gone)", ["b.md#gone", "#gone"]),
    ],
)
def test_a_link_to_nowhere_is_found(tmp_path: Path, text: str, broken: list[str]) -> None:
    (tmp_path / "b.md").write_text("# A heading: with `code` in it\n")
    assert list(site.broken_links(tmp_path / "a.md", text)) == broken


def test_every_picture_can_be_taken_again_and_is_small() -> None:
    files = {p.stem: p for p in (site.DOCS / pictures.FOLDER).glob("*.png")}
    assert files.keys() == {shot.name for shot in pictures.SHOTS}
    assert [name for name, path in files.items() if path.stat().st_size > pictures.LARGEST] == []


def test_every_picture_is_shown() -> None:
    shown = "\n".join(p.read_text("utf-8") for p in site.texts())
    assert [shot.name for shot in pictures.SHOTS if f"{pictures.FOLDER}/{shot.name}.png" not in shown] == []


def test_every_page_is_in_the_menu() -> None:
    menu = site.with_menu((site.DOCS.parent / "mkdocs.yml").read_text("utf-8"))
    pages = {str(p.relative_to(site.DOCS)) for p in site.DOCS.rglob("*.md")}
    assert sorted(p for p in pages if p not in menu) == []
    for source in source_names():
        assert f"          - {source}: reference/contracts/{source}.md" in menu
        assert f"          - {source}: reference/rules/{source}.md" in menu


def test_the_rule_that_the_how_to_shows_is_a_rule(tmp_path: Path) -> None:
    text = (site.DOCS / "howto" / "rule.md").read_text("utf-8")
    shown = textwrap.dedent(re.findall(r"^ *```toml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)[0])
    table = "ville/encounter"
    rule = Rule.model_validate({**tomllib.loads(shown)["rule"][0], "table": table})
    assert set(rule.columns) <= set(load(table).names)
    assert rule.id not in {r.id for r in load_rules(table)}
