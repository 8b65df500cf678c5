"""The CSV reader: row numbers, malformed lines, and everything that a file can get wrong."""

from __future__ import annotations

import hashlib
import io

import pytest

from jobs.errors import ContractRefused
from jobs.intake import lines as lines_module
from jobs.intake.lines import Place
from jobs.intake.readers.csv import CsvFile, Records
from schemas.loader import Column, Csv, Table
from schemas.text import Text

T = Text(fr="x", en="x")
PLACE = Place("dcir/2024-03/v1", "ER_X.csv", "dcir/er_x")
SECRET = "SECRETVALUE"


def table(*names: str, may_be_empty: bool = False) -> Table:
    columns = tuple(Column(name=n, meaning=T) for n in names)
    return Table(table="er_x", title=T, row=T, may_be_empty=may_be_empty, column=columns)


AB = table("a", "b")


def read(
    data: bytes, contract: Table = AB, dialect: Csv | None = None, **options: int
) -> tuple[CsvFile, list[Records]]:
    file = CsvFile(io.BytesIO(data), contract, dialect or Csv(), PLACE, **options)  # type: ignore[arg-type]
    return file, list(file)


def rows(found: list[Records]) -> list[tuple[object, ...]]:
    return [tuple(r.values()) for part in found for r in part.rows.to_pylist()]


def bad(found: list[Records]) -> list[tuple[object, ...]]:
    return [tuple(r.values()) for part in found for r in part.malformed.to_pylist()]


def refusal(data: bytes, contract: Table = AB, dialect: Csv | None = None, **options: int) -> ContractRefused:
    with pytest.raises(ContractRefused) as caught:
        read(data, contract, dialect, **options)
    assert SECRET not in str(caught.value)
    assert "dcir/2024-03/v1 ER_X.csv (dcir/er_x)" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"a;b\n1;2\n3;4\n", [("1", "2", 1), ("3", "4", 2)], id="plain"),
        pytest.param(b"b;a\n1;2\n3;4\n", [("2", "1", 1), ("4", "3", 2)], id="reordered is accepted by name"),
        pytest.param(b"\xef\xbb\xbfa;b\n1;2\n", [("1", "2", 1)], id="byte order mark"),
        pytest.param(b'"a";"b"\r\n1;2\r\n', [("1", "2", 1)], id="quoted header, CR LF"),
        pytest.param(b'a;b\n1;""\n;\n', [("1", None, 1), (None, None, 2)], id="empty is null"),
        pytest.param(b'a;b\n"1;1";"say ""x"""\n', [("1;1", 'say "x"', 1)], id="quotes"),
        pytest.param(b"a;b\n1;2", [("1", "2", 1)], id="whole last line without line end"),
        pytest.param(b"a;b\n\n1;2\n\n\r\n3;4\n\n", [("1", "2", 1), ("3", "4", 2)], id="blank lines are not records"),
        pytest.param("a;b\né;œ\n".encode(), [("é", "œ", 1)], id="utf-8"),
        pytest.param(b"a;b\n1;a\tb\n", [("1", "a\tb", 1)], id="a tab is text"),
    ],
)
def test_accepts(data: bytes, expected: list[tuple[object, ...]]) -> None:
    file, found = read(data)
    assert rows(found) == expected
    assert (file.rows, file.malformed, file.records) == (len(expected), {}, len(expected))
    assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_other_encoding_is_decoded_strictly() -> None:
    _, found = read("a;b\né;2\n".encode("latin-1"), dialect=Csv(encoding="latin-1"))
    assert rows(found) == [("é", "2", 1)]


def test_malformed_lines_are_kept_apart_with_true_row_numbers() -> None:
    file, found = read(b"a;b\n1;2\nshort\n3;4\n5;6;7\n\n8;9\n")
    assert rows(found) == [("1", "2", 1), ("3", "4", 3), ("8", "9", 5)]
    assert bad(found) == [(2, "fields", "short"), (4, "fields", "5;6;7")]
    assert (file.rows, file.malformed, file.records) == (3, {"fields": 2}, 5)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('"x"y";2', id="within a value"),
        pytest.param('12" tube;2', id="in a value without quotes"),
        pytest.param('"12" tube;2', id="at the end of a measure"),
        pytest.param('"x" ;2', id="a blank after the end"),
        pytest.param(' "x";2', id="a blank before the start"),
        pytest.param('1;"x"y', id="text after the end"),
        pytest.param('a"";2', id="doubled where no value was opened"),
        pytest.param('"x"y;z";2', id="with a separator inside"),
        pytest.param('"x"";"y"z"', id="several"),
    ],
)
def test_a_quote_that_is_not_doubled_costs_its_line_and_is_not_altered(line: str) -> None:
    file, found = read(f'a;b\n1;2\n\n{line}\r\n"5""";"6"\nshort\n7;8\n'.encode())
    assert rows(found) == [("1", "2", 1), ('5"', "6", 3), ("7", "8", 5)]
    assert bad(found) == [(2, "quote", line), (4, "fields", "short")]
    assert (file.records, file.malformed) == (5, {"quote": 1, "fields": 1})


def test_a_block_may_hold_malformed_lines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 8)
    _, found = read(b'a;b\n1;2\nx"y;1\n\n\n\n\n\n\n\nz"z;1\n3;4\n')
    assert rows(found) == [("1", "2", 1), ("3", "4", 4)]
    assert [n for n, _, _ in bad(found)] == [2, 3]


def test_control_characters_reject_the_row() -> None:
    file, found = read(b"a;b\n1;2\n3\x00;4\n\nshort\n5;\x7f\r\n6;7\r\n")
    assert rows(found) == [("1", "2", 1), ("6", "7", 5)]
    assert bad(found) == [(2, "control_char", "3\x00;4"), (3, "fields", "short"), (4, "control_char", "5;\x7f")]
    assert file.malformed == {"control_char": 2, "fields": 1}


def test_row_numbers_go_on_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 64)
    data = b"a;b\n" + b"".join(b"%d;x\n" % i if i % 7 else b"%d\n" % i for i in range(1, 500))
    file, found = read(data)
    assert len(found) > 10
    assert [(int(str(a)), n) for a, _, n in rows(found)] == [(i, i) for i in range(1, 500) if i % 7]
    assert [n for n, _, _ in bad(found)] == [i for i in range(1, 500) if not i % 7]
    assert file.records == 499
    assert file.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        pytest.param(b"", "empty_file", "is empty", id="0 bytes"),
        pytest.param(b"\xef\xbb\xbf\n", "empty_file", "is empty", id="only a mark and a line end"),
        pytest.param(b"a;b\n", "header_only", "no row", id="header only"),
        pytest.param(b"a;b", "header_only", "no row", id="header only, no line end"),
        pytest.param(b"a,b\n1,2\n", "wrong_separator", "comma, not by a semicolon", id="comma"),
        pytest.param(b"a\tb\n1\t2\n", "wrong_separator", "tab, not by a semicolon", id="tab"),
        pytest.param(b"a\n1\n", "missing_column", "The header lacks: b.", id="missing"),
        pytest.param(b"a;c\n1;2\n", "missing_column", "lacks: b.", id="renamed"),
        pytest.param(
            b"a;b;c\n1;2;3\n", "extra_column", "does not have 1 of the columns: the one at position 3.", id="extra"
        ),
        pytest.param(b"a;b;185057800608436\n", "extra_column", "the one at position 3.", id="an extra value"),
        pytest.param(b"a;b;a\n1;2;3\n", "duplicated_column", "names twice: a.", id="duplicated"),
        pytest.param(b"SECRETVALUE;1\n2;3\n", "missing_column", "is the header there?", id="no header"),
        pytest.param(b"a;b\n1;2\n\xe9SECRETVALUE;4\n", "wrong_encoding", "line 3 is not utf-8", id="latin-1 bytes"),
        pytest.param(b"\xff\xfea\x00;\x00b\x00\n\x00", "wrong_encoding", "is UTF-16", id="utf-16"),
        pytest.param(b"a;b\n1;2\nSECRETVALUE", "truncated", "middle of a line", id="truncated last line"),
        pytest.param(
            b'a;b\n1;2\n3;"SECRETVALUE\n5;6\n',
            "unclosed_quote",
            "line 3: a quoted value is not closed",
            id="open quote swallows",
        ),
        pytest.param(
            b'a;b\n1;2\n3;"SECRETVALUE\n',
            "unclosed_quote",
            "line 3: a quoted value is not closed",
            id="open quote on the last line",
        ),
        pytest.param(
            b'a;b\n1;2\n3;"SECRETVALUE',
            "unclosed_quote",
            "line 3: a quoted value is not closed",
            id="open quote, no line end",
        ),
        pytest.param(b'a;b\n1;"x\ny"\n3;4\n', "unclosed_quote", "over a line end", id="line end within a value"),
        pytest.param(b'a;b\n1;"x\n\ny"\n3;4\n', "unclosed_quote", "over a line end", id="blank line within a value"),
        pytest.param(b'a;b\n1;2;"x\n3;4"\n5;6\n', "unclosed_quote", "over a line end", id="within a malformed line"),
        pytest.param(b"a;b\n1;x\ry\n", "line_ends", "carriage return", id="carriage return within a line"),
        pytest.param(
            b"a;\x00b\n1;2\n",
            "column_form",
            "have blanks or invisible characters around or within them: 1 of 2 (b)",
            id="NUL",
        ),
        pytest.param(b"a;b\r1;2\r", "line_ends", "first line", id="old Macintosh line ends"),
    ],
)
def test_refuses(data: bytes, reason: str, said: str) -> None:
    error = refusal(data)
    assert error.reason == reason
    assert said in str(error)


def test_header_only_where_the_contract_allows_it() -> None:
    file, found = read(b"a;b\n", table("a", "b", may_be_empty=True))
    assert (file.records, rows(found)) == (0, [])


@pytest.mark.parametrize("before", [0, 3_000_000])
def test_a_huge_line_is_refused_in_bounded_memory(before: int) -> None:
    data = b"a;b\n" + b"1;2\n" * (before // 4) + b"3;" + b"x" * (2**20 + 1) + b"\n4;5\n"
    error = refusal(data)
    assert error.reason == "huge_line"
    assert f"line {2 + before // 4} " in str(error)


def test_a_line_without_end_is_not_read_to_its_end() -> None:
    class Endless(io.RawIOBase):
        served = 0

        def read(self, size: int = -1, /) -> bytes:
            self.served += size
            return b"a;b\n" + b"x" * (size - 4) if self.served == size else b"x" * size

    stream = Endless()
    with pytest.raises(ContractRefused) as caught:
        list(CsvFile(stream, AB, Csv(), PLACE))  # type: ignore[arg-type]
    assert caught.value.reason == "huge_line"
    assert stream.served <= 12 * 2**20


def test_a_long_line_below_the_limit_is_accepted() -> None:
    _, found = read(b"a;b\n1;" + b"x" * 900_000 + b"\n2;" + b"y" * 900_000 + b"\n")
    assert [r[0] for r in rows(found)] == ["1", "2"]


def test_more_bytes_than_declared_are_refused() -> None:
    assert refusal(b"a;b\n1;2\n", limit=7).reason == "size_mismatch"
