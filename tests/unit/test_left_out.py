"""What a build left out is on record by table, month and reason, and shown in words: exactly to stewards only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from catalogue import db
from catalogue.web.left_out import left_out
from jobs.cli import app
from jobs.errors import ConfigError, NotReady
from jobs.settings import Settings
from tests.web import seed


@pytest.fixture
def engine(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("HUB_HOME", str(home.home))
    home.home.mkdir(parents=True, exist_ok=True)
    engine = db.open_engine(home.database)
    db.migrate(engine)
    seed.fill(engine)
    return engine


def test_books_of_the_filters_carry_their_words(engine: Engine) -> None:
    first, second, third = db.filter_books(engine, 1)
    assert (first["table"], first["period"], first["rows"], first["stay"]) == ("dcir/er_prs_f", "2024-01", 1203, 1196)
    assert first["left_out"] == [
        {
            "filter": "shared_pseudonym",
            "rows": 7,
            "why": {"fr": "Plusieurs personnes le partagent.", "en": "Several people share it."},
        }
    ]
    assert [r["filter"] for r in second["left_out"]] == ["settled"]
    assert third["left_out"] == []
    assert [(loss["source"], loss["period"], loss["rows"]) for loss in db.build_losses(engine, 1)] == [
        ("dcir", "2024-01", 14),
        ("dcir", "2024-02", 3),
    ]


def test_a_build_that_is_not_complete_has_no_books(engine: Engine) -> None:
    build = db.start_build(engine, ["dcir/2024-01/v1"])
    assert left_out(engine, f"build/{build}", exact=True) is None
    assert left_out(engine, "dcir/2024-01/v1", exact=True) is None
    with pytest.raises(NotReady, match=f"Build {build} is not complete"):
        db.filter_books(engine, build)


def numbers(shown: dict[str, Any] | None) -> list[Any]:
    assert shown is not None
    held = [(t["table"], t["rows"], t["stay"]) for t in shown["tables"]]
    reasons = [(r["filter"], r["rows"]) for t in shown["tables"] for r in t["reasons"]]
    return [*held, *reasons, *((loss["kind"], loss["rows"]) for loss in shown["losses"])]


def test_stewards_see_exact_counts_over_all_months(engine: Engine) -> None:
    assert numbers(left_out(engine, "build/1", exact=True)) == [
        ("dcir/er_prs_f", 2203, 2173),
        ("dcir/er_pha_f", 504, 504),
        ("settled", 23),
        ("shared_pseudonym", 7),
        ("visit", 17),
    ]


def test_everyone_sees_rounded_counts_no_small_one_and_none_beside_it_that_would_give_it_away(engine: Engine) -> None:
    """7 rows are hidden, and so are the 23 beside them: the rows that stay are known from both."""
    assert numbers(left_out(engine, "build/1", exact=False)) == [
        ("dcir/er_prs_f", 2175, 2175),
        ("dcir/er_pha_f", 505, 505),
        ("visit", 15),
    ]


def test_omop_show_says_how_many_and_why(engine: Engine) -> None:
    shown = CliRunner().invoke(app, ["omop", "show", "1"])
    assert shown.exit_code == 0, shown.output
    for text in ("1,203", "1,196", "shared_pseudonym", "Several people share it.", "To be attributed to nobody."):
        assert text in shown.output, text


def test_a_delivery_says_what_the_last_build_with_it_settled(engine: Engine) -> None:
    """Build 2 brought the correction in, build 1 what it replaced; nothing is said of what no build took."""
    of = {d["id"]: (d["rows_settled"], d["settled_by"]) for d in db.with_settled(engine, db.list_deliveries(engine))}
    assert of["dcir/2024-02/v2"] == (23, "build/2")
    assert of["dcir/2024-02/v1"] == (23, "build/1")
    assert of["dcir/2024-01/v1"] == (0, "build/1")
    assert of[seed.WAITING] == of[seed.REJECTED] == (None, None)
    shown = CliRunner().invoke(app, ["delivery", "show", "dcir/2024-02/v2"])
    assert "Settled by build/2, of the rows published: er_prs_f 23." in shown.output
    listed = json.loads(CliRunner().invoke(app, ["delivery", "list", "--json"]).stdout)
    assert {d["id"]: (d["rows_settled"], d["settled_by"]) for d in listed} == of


def test_a_build_that_is_not_complete_settles_nothing_yet(engine: Engine) -> None:
    db.start_build(engine, ["dcir/2024-02/v2", "dcir/2024-01/v1"])
    (found,) = db.with_settled(engine, db.list_deliveries(engine, delivery_id="dcir/2024-02/v2"))
    assert found["settled_by"] == "build/2"
    assert found["tables"]["er_prs_f"]["rows_settled"] == 23
    assert found["tables"]["er_pha_f"]["rows_settled"] == 0


def test_omop_show_as_json_holds_every_month_and_both_languages(engine: Engine) -> None:
    shown = CliRunner().invoke(app, ["omop", "show", "1", "--json"])
    held = json.loads(shown.stdout)
    assert held["build"] == 1 and len(held["deliveries"]) == 7
    assert held["filtered"] == json.loads(json.dumps(db.filter_books(engine, 1)))
    assert held["losses"][0]["why"] == {"fr": "À attribuer à personne.", "en": "To be attributed to nobody."}


def test_a_build_that_does_not_exist_is_named(engine: Engine) -> None:
    shown = CliRunner().invoke(app, ["omop", "show", "99"])
    assert isinstance(shown.exception, ConfigError)
    assert "no build 99" in str(shown.exception)
