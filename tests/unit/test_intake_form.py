"""A file that is not the text that its name says: what it is, is said by its first bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import ContractRefused
from jobs.intake.lines import Lines, Place

TEXT = b"ETA_NUM;RSA_NUM\n750000001;SECRETVALUE\n"


def archive(*names: str, first: tuple[str, bytes] | None = None) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        if first:
            out.writestr(*first)
        for name in names:
            out.writestr(name, TEXT)
    return made.getvalue()


def parquet() -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.table({"ETA_NUM": ["SECRETVALUE"]}), made)
    return made.getvalue()


def tar() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as out:
        entry = tarfile.TarInfo("T.csv")
        entry.size = len(TEXT)
        out.addfile(entry, io.BytesIO(TEXT))
    return made.getvalue()


ODS = ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet")


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (gzip.compress(TEXT), "compressed", "is compressed (gzip)"),
        (bz2.compress(TEXT), "compressed", "is compressed (bzip2)"),
        (lzma.compress(TEXT), "compressed", "is compressed (xz)"),
        (pa.compress(TEXT, codec="zstd", asbytes=True), "compressed", "is compressed (zstd)"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(40), "compressed", "is compressed (7z)"),
        (archive("T.csv"), "compressed", "is compressed (zip)"),
        (archive(), "compressed", "is compressed (zip)"),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "other_form", "is an Excel workbook"),
        (archive("content.xml", first=ODS), "other_form", "is an OpenDocument spreadsheet"),
        (parquet(), "other_form", "is a Parquet file"),
        (b"%PDF-1.7\n%\xe2\xe3", "other_form", "is a PDF document"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "other_form", "is an Excel workbook or another"),
        (tar(), "compressed", "is compressed (tar)"),
        (b"\n\n <!DOCTYPE html><html><h1>502</h1>", "other_form", "is an HTML page, perhaps an error page"),
        (b"\xef\xbb\xbf<html lang=fr>", "other_form", "is an HTML page"),
        (b"<?xml version='1.0'?><a/>", "other_form", "is an XML document"),
        (b'[{"ETA_NUM": "1"}]', "other_form", "is JSON"),
        (TEXT.decode().encode("utf-16"), "wrong_encoding", "is UTF-16"),
        (TEXT.decode().encode("utf-16-le"), "wrong_encoding", "is UTF-16"),
        (TEXT.decode().encode("utf-16-be"), "wrong_encoding", "is UTF-16"),
        (TEXT.decode().encode("utf-32"), "wrong_encoding", "is UTF-32"),
        (bytes(10_000), "other_form", "filled with zero bytes"),
        (b"", "empty_file", "is empty"),
        (b"\xef\xbb\xbf \r\n", "empty_file", "is empty"),
    ],
)
def test_it_says_what_it_is(data: bytes, reason: str, said: str) -> None:
    with pytest.raises(ContractRefused) as caught:
        Lines(io.BytesIO(data), Place("pmsi_mco/2024-03/v1", "T.csv", "pmsi_mco/t"))
    assert (caught.value.reason, said in str(caught.value)) == (reason, True), str(caught.value)
    assert caught.value.next_step
    assert "SECRETVALUE" not in str(caught.value)


@pytest.mark.parametrize(
    "start",
    [b"PK_NUM;B\n", b"BZhA;B\n", b"RDX;B\n", b"A\n", b"a;b", b"ORC;B\n", b"\xef\xbb\xbfA;B\n", "é;B\n".encode()],
)
def test_text_is_not_taken_for_another_form(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "T.csv"
    path.write_bytes(start + b"1;2\n" * 100)
    with path.open("rb", buffering=0) as stream:
        assert Lines(stream, Place("pmsi_mco/2024-03/v1", "T.csv", "pmsi_mco/t")).header
