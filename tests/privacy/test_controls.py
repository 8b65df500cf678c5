"""Each search must be able to fail: with a control switched off, the same search finds the canary.

One server runs bare, without encryption and without a token; the other controls are switched off on the shared one.
"""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import keys
from jobs.errors import HubError, StorageError
from jobs.lake.waiting import WaitingTable
from jobs.rows import pseudonymised
from jobs.rows.typed import typed_schema
from jobs.settings import Settings
from jobs.spark import selftest, server, session
from jobs.tasks import landed
from jobs.tasks.landed import Work
from schemas.loader import load_table
from tests.conftest import free_port
from tests.privacy import scan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CANARY = "CANARY" + secrets.token_hex(6)[:11]
"""Written like a stage-1 pseudonym, 17 characters: what is not is quarantined."""
SECRET_SUM = f"{secrets.randbelow(10**12) + 10**12}0"
NEEDLES = scan.of_texts([CANARY], "canary")
SECRET_DAY = "1856-07-08"
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
    return spark.sql(f"SELECT '{CANARY}' AS name, DATE'{SECRET_DAY}' AS day, '2024-01' AS _period")


def waiting(spark: SparkSession, folder: Path, *stats: str) -> WaitingTable:
    """A table that the lake's own writer wrote. ``stats``: columns of which the log may tell."""
    made = WaitingTable.of(
        folder, "omop/table", "w-1", {"name": "string", "day": "date"}, partition_by=("_period",), stats=stats
    )
    made.write(canaries(spark))
    return made


def written(spark: SparkSession, folder: Path, *stats: str) -> list[scan.Leak]:
    """What the search finds of a table that was written and committed."""
    waiting(spark, folder, *stats).commit({"step": "test"}, replaces=lambda _: True, claim="test")
    return scan.leaks(folder, NEEDLES | scan.of_texts([SECRET_DAY], "day"))


class TestEncryption:
    def test_on_nothing_is_found(self, spark: SparkSession, tmp_path: Path) -> None:
        assert written(spark, tmp_path) == []

    def test_off_the_lake_is_found_in_clear(self, bare: Settings, tmp_path: Path) -> None:
        made = waiting(session.open_session(session.address(bare)), tmp_path)
        assert "Parquet in clear" in {leak.what for leak in scan.leaks(tmp_path, NEEDLES)}
        with pytest.raises(StorageError, match="is not encrypted"):
            made.commit({"step": "test"}, replaces=lambda _: True, claim="test")

    def test_off_the_server_refuses_to_serve(self, bare: Settings) -> None:
        with pytest.raises(StorageError, match="in clear"):
            selftest.prove_encrypted(session.open_session(session.address(bare)), bare)


class TestToken:
    """``test_secrets`` holds that a client without the token is refused."""

    def test_off_anybody_is_served(self, bare: Settings) -> None:
        assert session.open_session(f"sc://localhost:{bare.spark_port}/").range(2).count() == 2


class TestStatistics:
    """A contract names the dates of which a log may tell; without it a log tells of none (``TestEncryption``)."""

    def test_off_the_log_holds_the_value(self, spark: SparkSession, tmp_path: Path) -> None:
        found = written(spark, tmp_path, "day")
        # the log, and the list of the files that wait
        assert {(Path(leak.where).parent.name, leak.what) for leak in found} == {("_delta_log", "day"), ("w-1", "day")}


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

    def written(self, folder: Path) -> list[scan.Leak]:
        table = load_table("dcir", "er_prs_f")
        landed = [{PSEUDONYM_COLUMN: CANARY, "_row": 1}]
        rows = pa.Table.from_pylist(landed, typed_schema(table))
        pq.write_table(pseudonymised.pseudonymised(rows, table, b"k" * 32, "f"), folder / "part.parquet")
        return [leak for leak in scan.leaks(folder, NEEDLES) if leak.what == "canary"]

    def test_on_it_is_not_found(self, tmp_path: Path) -> None:
        assert self.written(tmp_path) == []

    def test_off_it_is_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pseudonymised, "pseudonyms", lambda values, *_: values)
        assert self.written(tmp_path)


class TestTask:
    """What a task fails on is said without the value that it failed on: Spark logs the error of every task."""

    def said(self, settings: Settings) -> str:
        keys.generate(settings.keys)
        work = Work(load_table("dcir", "er_prs_f"), (), "2024-01", (("/none", "f"),), None, "/none", "/none", {})
        with pytest.raises(Exception) as failed:  # noqa: PT011 any: it is what it says that counts
            list(landed.write_landed(work, iter([pa.RecordBatch.from_pylist([{"file": 0, "row": CANARY}])])))
        return "".join(traceback.format_exception(failed.value))

    def failing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(work: Work, ring: object, number: int, notes: pa.Table) -> None:
            raise ValueError(f"{notes.to_pylist()}")

        monkeypatch.setattr(landed, "open_keyring", lambda _: None)
        monkeypatch.setattr(landed, "_write", fails)

    def test_on_the_place_is_named_and_the_value_is_not(self, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing(monkeypatch)
        assert scan.in_bytes(self.said(home).encode(), NEEDLES, "error") == []
        assert "ValueError in test_controls.py" in self.said(home)

    def test_off_the_value_is_in_the_error(self, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing(monkeypatch)
        monkeypatch.setattr(landed, "_where", str)
        assert scan.in_bytes(self.said(home).encode(), NEEDLES, "error")
