"""Engineers' questions to the lake: aggregates are answered, identifiers are not printed."""

from __future__ import annotations

import pytest

from jobs.errors import ConfigError, DisclosureRefused, HubError
from jobs.lake.query import ask
from tests.integration.conftest import World


def test_an_aggregate_is_answered_with_true_numbers(world: World) -> None:
    truth = world.read("truth")["published"]["rows"]
    rows, columns = ask(world.hub(), "SELECT count(*) AS n, count(DISTINCT person_id) AS p FROM omop.person")
    assert (rows, columns) == ([{"n": truth["person"], "p": truth["person"]}], ("n", "p"))


def test_persons_can_be_joined_and_counted(world: World) -> None:
    sql = (
        "SELECT count(*) AS n FROM omop/visit_occurrence v JOIN omop.person p ON v.person_id = p.person_id "
        "WHERE p.gender_concept_id IN (8507, 8532)"
    )
    assert ask(world.hub(), sql)[0][0]["n"] == world.read("truth")["published"]["rows"]["visit_occurrence"]


def test_a_release_is_asked_at_its_own_versions(world: World) -> None:
    sql = "SELECT count(*) AS n FROM dcir/er_prs_f"
    assert ask(world.hub(), sql, released=True)[0] == ask(world.hub(), sql)[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT person_id FROM omop.person LIMIT 3",
        "SELECT PERSON_ID, count(*) FROM omop.visit_occurrence GROUP BY 1 LIMIT 3",
        "SELECT * FROM dcir/ir_ben_r LIMIT 1",
        "SELECT BEN_NIR_PSA, count(*) AS n FROM dcir/er_prs_f GROUP BY 1 LIMIT 5",
        "WITH x AS (SELECT visit_occurrence_id FROM omop.visit_occurrence) SELECT * FROM x LIMIT 1",
    ],
)
def test_an_identifier_is_not_printed(world: World, sql: str) -> None:
    with pytest.raises(DisclosureRefused, match="would print"):
        ask(world.hub(), sql)


def test_an_identifier_under_another_name_means_nothing(world: World) -> None:
    """It is salted for this one question: it is not a value of the lake, and another one next time."""
    hub = world.hub()
    true_ids = {r[0] for r in hub.spark.read.format("delta").load(str(world.settings.lake / "omop" / "person"))
                .select("person_id").collect()}  # fmt: skip
    asked = [{r["x"] for r in ask(hub, "SELECT person_id AS x FROM omop.person LIMIT 1000")[0]} for _ in range(2)]
    assert all(asked)
    assert not asked[0] & asked[1]
    assert not (asked[0] | asked[1]) & true_ids


def test_many_rows_are_no_aggregate(world: World) -> None:
    with pytest.raises(DisclosureRefused, match=r"1,000"):
        ask(world.hub(), "SELECT drug_exposure_start_date AS d, quantity AS q FROM omop.drug_exposure")


@pytest.mark.parametrize(
    "sql",
    ["DROP TABLE omop.person", "SELECT 1", "SELECT 1 FROM omop.person; DROP TABLE x", "SELECT 1 FROM omop.nothing"],
)
def test_only_one_select_on_tables_that_are_there(world: World, sql: str) -> None:
    with pytest.raises(ConfigError):
        ask(world.hub(), sql)


def test_an_error_does_not_quote_the_value(world: World) -> None:
    with pytest.raises(HubError) as refused:
        ask(world.hub(), "SELECT sum(CAST(concat('secret', gender_source_value) AS INT)) FROM omop.person")
    assert "CAST_INVALID_INPUT" in str(refused.value)
    assert "secret" not in str(refused.value)
