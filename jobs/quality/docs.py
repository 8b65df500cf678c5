"""Data Docs of Great Expectations as an option: stock pages of one run, for readers who know them.

They are in English, need scripts and styles from public CDNs to look right, and weigh 4 MB: the stewards' own page
(``hub quality report``) is the report of the hub.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jobs.errors import ConfigError, StorageError
from jobs.quality.judge import Judged
from jobs.quality.rules import all_rules

SITE = "quality"


def data_docs(tables: Judged, run: str, folder: Path) -> Path:
    """Judges counts again and writes the site under ``folder``; returns its first page. ``run`` names the run.

    Raises ``StorageError`` when a table has no page.
    """
    import great_expectations as gx

    from jobs.quality.gx import context, definition, frame

    folder.mkdir(parents=True, exist_ok=True)
    made = context()
    made.add_data_docs_site(
        SITE,
        {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
        },
    )
    for name, (rules, counts) in tables.items():
        check = definition(made, name, rules)
        checkpoint = made.checkpoints.add(gx.Checkpoint(name=check.name, validation_definitions=[check]))
        named = gx.RunIdentifier(run_name=run.replace("/", "."))
        checkpoint.run(batch_parameters={"dataframe": frame(counts)}, run_id=named)
    made.build_data_docs(site_names=[SITE])
    pages = sum(1 for _ in (folder / "validations").rglob("*.html"))
    if pages < len(tables):  # Great Expectations only logs what it could not draw
        raise StorageError(f"Data Docs hold {pages} of {len(tables)} tables.", next_step="use `hub quality report`")
    return folder / "index.html"


def judged(counts: Mapping[str, Mapping[str, tuple[int, int]]], subject: str) -> Judged:
    """The rules of every table of a subject beside what was counted of it.

    Raises ``ConfigError`` when nothing was counted.
    """
    if not counts:
        raise ConfigError(f"Nothing was counted for {subject}.", next_step="see `hub quality list` for what was")
    rules = all_rules()
    return {name: (rules.get(name, ()), of_table) for name, of_table in counts.items()}
