"""The site of docs/: built by zensical; checked for pages that the code has left behind and for links to nowhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.tools import reference
from docs.tools.commands import fault, shown_commands
from jobs.errors import HubError
from jobs.settings import CHECKOUT

DOCS = CHECKOUT / "docs"
CONFIGURATION = CHECKOUT / "mkdocs.yml"
WORK = CHECKOUT / ".cache" / "docs"
SITE = WORK / "site"
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
"""Texts beside docs/: their commands and links are checked too."""
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
SEVERAL = re.compile(r"^( *)- ([^:\n]+): (\S*\*\S*)$", re.MULTILINE)
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def texts() -> list[Path]:
    """Every Markdown text that is checked."""
    return [*sorted(DOCS.rglob("*.md")), *(p for name in TOP if (p := CHECKOUT / name).exists())]


def faults() -> list[str]:
    """What does not hold, one sentence each: stale reference pages, links to nowhere, commands that do not exist."""
    sentences = [f"docs/{path} is not what the code says" for path in reference.stale(DOCS)]
    for path in texts():
        text = path.read_text("utf-8")
        name = path.relative_to(CHECKOUT)
        sentences += [f"{name} links to {link}, which is not there" for link in broken_links(path, text)]
        sentences += [f"{name} shows `{line}`: {wrong}" for line in shown_commands(text) if (wrong := fault(line))]
    return sentences


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Targets of the links of a text that are no file, or no heading of one. Addresses of other hosts are not asked."""
    for target in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        to = (path.parent / file).resolve()
        if (file and not to.exists()) or (anchor and anchor not in anchors(to.read_text("utf-8") if file else text)):
            yield target


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a Markdown text, as forges and the site make them."""
    return {slug(heading) for heading in HEADING.findall(FENCE.sub("", text))}


def slug(heading: str) -> str:
    """A heading as an anchor: lower case, dashes for spaces, no punctuation."""
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.replace("`", "").lower()).strip())


def with_menu(configuration: str) -> str:
    """The builder's configuration, each entry of the menu that names several pages (``*``) replaced by these pages,
    under the last word of their headings: ``Contract: dcir`` is ``dcir``."""

    def entries(several: re.Match[str]) -> str:
        indent, title, pattern = several.groups()
        pages = [(HEADING.findall(p.read_text("utf-8"))[0], p.relative_to(DOCS)) for p in sorted(DOCS.glob(pattern))]
        lines = [f"{indent}    - {heading.rpartition(': ')[2]}: {page}" for heading, page in pages]
        return "\n".join([f"{indent}- {title}:", *lines])

    return SEVERAL.sub(entries, configuration)


def build() -> Path:
    """Builds the site and returns its first page. Raises ``HubError`` when the builder is not content."""
    # in a copy: the builder keeps, and clears, a folder .cache where its configuration lies, and ours holds more
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.copytree(DOCS, WORK / "docs", ignore=shutil.ignore_patterns("*.py", "tools", "__pycache__"))
    (WORK / CONFIGURATION.name).write_text(with_menu(CONFIGURATION.read_text("utf-8")), "utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=WORK, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise HubError("The site could not be built.", next_step=f"fix what it says: {run.stdout[-2000:]}{run.stderr}")
    return SITE / "index.html"
