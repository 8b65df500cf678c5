"""Each search must be able to fail: with a control switched off, the same search finds the canary.

One server runs bare, without encryption and without a token; the other controls are switched off on the shared one.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from jobs import keys
from jobs.errors import HubError, StorageError
from jobs.lake import tables as lake
from jobs.lake.staged import StagedTable
from jobs.rows import typed
from jobs.settings import Settings
from jobs.spark import selftest, server, session
from schemas.loader import load_source, load_table
from tests.conftest import free_port
from tests.privacy import scan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CANARY = "CANARY" + secrets.token_hex(6)[:11]
"""Written like a stage-1 pseudonym, 17 characters: what is not is quarantined."""
SECRET_SUM = f"{secrets.randbelow(10**12) + 10**12}0"
NEEDLES = scan.of_texts([CANARY], "canary")
STATISTICS = "spark.databricks.delta.properties.defaults.dataSkippingNumIndexedCols"
PSEUDONYM_COLUMN = "BEN_NIR_PSA"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A hub whose server encrypts nothing and asks for no token."""
    settings = Settings(home=tmp_path_factory.mktemp("bare"), spark_port=free_port(), spark_memory="1g")
    keys.generate(settings.keys)
    settings.logs.mkdir(parents=True)
    complete = server.configuration
    with pytest.MonkeyPatch.context() as off:
        off.setattr(server, "MAIN", "org.apache.spark.sql.connect.service.SparkConnectServer")
        off.setattr(server, "configuration", lambda s: {k: v for k, v in complete(s).items() if ".parquet." not in k})
        server.start(settings)
    try:
        server.wait(settings)
        yield settings
    finally:
        server.stop(settings)


@pytest.fixture
def spark(spark_hub: Settings) -> SparkSession:
    """A session of its own on the shared server: the one of the other lanes ends with a server that a test killed."""
    return session.open_session(session.address(spark_hub))


def canaries(spark: SparkSession) -> DataFrame:
    """One row that holds the canary."""
    return spark.sql(f"SELECT '{CANARY}' AS name, '2024-01' AS _period")


def written(spark: SparkSession, folder: Path) -> list[scan.Leak]:
    """What the search finds of a table that the lake's own writer made."""
    where, month = str(folder / "table"), "_period = '2024-01'"
    lake.replace(spark, canaries(spark), where, month, {"step": "test"}, partition_by=["_period"], new=True)
    return scan.leaks(folder, NEEDLES)


class TestEncryption:
    def test_on_nothing_is_found(self, spark: SparkSession, tmp_path: Path) -> None:
        assert written(spark, tmp_path) == []

    def test_off_the_lake_is_found_in_clear(self, bare: Settings, tmp_path: Path) -> None:
        open_one = session.open_session(session.address(bare))
        assert "Parquet in clear" in {leak.what for leak in written(open_one, tmp_path)}

    def test_off_the_server_refuses_to_serve(self, bare: Settings) -> None:
        with pytest.raises(StorageError, match="in clear"):
            selftest.prove_encrypted(session.open_session(session.address(bare)), bare)


class TestToken:
    """``test_secrets`` holds that a client without the token is refused."""

    def test_off_anybody_is_served(self, bare: Settings) -> None:
        assert session.open_session(f"sc://localhost:{bare.spark_port}/").range(2).count() == 2


class TestStatistics:
    def test_off_the_log_holds_the_value(self, spark: SparkSession, tmp_path: Path) -> None:
        spark.conf.set(STATISTICS, "32")
        try:
            found = written(spark, tmp_path)
        finally:
            spark.conf.unset(STATISTICS)
        assert {(Path(leak.where).parent.name, leak.what) for leak in found} == {("_delta_log", "canary")}


class TestErrors:
    """Spark quotes the value that it could not read."""

    def message(self, spark: SparkSession) -> str:
        with pytest.raises(HubError) as refused, session.safely("test"):
            canaries(spark).selectExpr("CAST(name AS INT)").collect()
        return str(refused.value)

    def test_on_the_class_is_kept_and_the_value_is_not(self, spark: SparkSession) -> None:
        assert "CAST_INVALID_INPUT" in self.message(spark)
        assert scan.in_bytes(self.message(spark).encode(), NEEDLES, "error") == []

    def test_off_the_value_is_in_the_error(self, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "translated", lambda error, step: HubError(str(error)))
        assert scan.in_bytes(self.message(spark).encode(), NEEDLES, "error")


class TestServerLog:
    """The server logs what its tasks fail on, and what its clients are answered."""

    def logged(self, spark: SparkSession, settings: Settings) -> bytes:
        """What a failing cast and a sum beyond its type leave in the log."""
        log = settings.logs / "spark.log"
        before = log.stat().st_size
        for failing in ("CAST(concat(name, id) AS INT)", f"CAST(id + {SECRET_SUM} AS DECIMAL(4,0))"):
            with pytest.raises(HubError), session.safely("test"):
                canaries(spark).crossJoin(spark.range(1, 3)).selectExpr(failing).collect()
        end = time.monotonic() + 20
        while b"NUMERIC_VALUE_OUT_OF_RANGE" not in log.read_bytes()[before:] and time.monotonic() < end:
            time.sleep(0.2)
        return log.read_bytes()[before:]

    def needles(self) -> dict[bytes, str]:
        return NEEDLES | scan.of_texts([SECRET_SUM[:-1]], "sum")

    def test_on_it_names_the_error_and_holds_no_value(self, spark: SparkSession, spark_hub: Settings) -> None:
        text = self.logged(spark, spark_hub)
        assert b"[CAST_INVALID_INPUT]" in text and b"\tat " in text
        assert scan.in_bytes(text, self.needles(), "log") == []

    def test_off_the_values_are_in_the_log(self, bare: Settings) -> None:
        text = self.logged(session.open_session(session.address(bare)), bare)
        assert {leak.what for leak in scan.in_bytes(text, self.needles(), "log")} == {"canary", "sum"}


class TestPseudonym:
    """The stage-1 pseudonym is replaced before anything is written, encrypted or not."""

    def staged(self, bare: Settings, folder: Path) -> list[scan.Leak]:
        spark, table = session.open_session(session.address(bare)), load_table("dcir", "er_prs_f")
        nothing = ", ".join(f"CAST(NULL AS STRING) AS `{n}`" for n in table.names if n != PSEUDONYM_COLUMN)
        raw = spark.sql(f"SELECT {nothing}, '{CANARY}' AS {PSEUDONYM_COLUMN}, 'f' AS _file, 1L AS _row")
        rows = typed.typed(raw, table, load_source("dcir").csv, "2024-01")
        StagedTable(folder).write_rows(rows)
        return [leak for leak in scan.leaks(folder, NEEDLES) if leak.what == "canary"]

    def test_on_it_is_not_found(self, bare: Settings, tmp_path: Path) -> None:
        assert self.staged(bare, tmp_path) == []

    def test_off_it_is_found(self, bare: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keyed = typed.value
        monkeypatch.setattr(
            typed, "value", lambda column, csv: F.col(column.name) if column.pseudonym else keyed(column, csv)
        )
        assert self.staged(bare, tmp_path)
