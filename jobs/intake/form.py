"""What a file is by its first bytes, when it is not the text that its name says."""

from __future__ import annotations

import codecs

COMPRESSED = (
    (b"\x1f\x8b", "gzip"),
    *((b"BZh%d1AY&SY" % level, "bzip2") for level in range(1, 10)),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
FORMS = (
    (b"PAR1", "a Parquet file"),
    (b"PARE", "an encrypted Parquet file"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "an Arrow file"),
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook or another document of Microsoft Office"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x00" * 12 + b"\xc2\xea\x81\x60", "a SAS data set"),
    (b"$FL2", "an SPSS data set"),
    (b"<stata_dta>", "a Stata data set"),
    (b"RDX3\n", "an R data set"),
    (b"-----BEGIN PGP", "encrypted (OpenPGP)"),
    (b"age-encryption.org/", "encrypted (age)"),
    (b"-----BEGIN AGE", "encrypted (age)"),
    (b"Salted__", "encrypted (OpenSSL)"),
)
PAGE = "an HTML page, perhaps an error page in place of the export"
TEXTS = (
    (b"<!doctype html", PAGE),
    (b"<html", PAGE),
    (b"<head", PAGE),
    (b"<body", PAGE),
    (b"<?xml", "an XML document"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
"""Beginnings of texts that no header line has."""
OFFICE = (
    (b"xl/", "an Excel workbook"),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet"),
    (b"word/", "a Word document"),
    (b"[Content_Types].xml", "an Office document, probably an Excel workbook"),
)
"""What stands in the first entries of a zip archive that is a document."""
WIDE = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def other_form(data: bytes) -> tuple[str, str, str] | None:
    """Reason (compressed, other_form, wrong_encoding), what was seen and the next step; None for what may be text.

    ``data`` is the beginning of a file, 4 KiB or more where it has them.
    """
    if form := _document(data) or _of_magic(data, FORMS) or _text(data):
        return "other_form", f"is {form}.", "Export the table as text, by the form of the contract, and send again."
    if form := _of_magic(data, COMPRESSED) or ("tar" if data[257:262] == b"ustar" else None):
        return "compressed", f"is compressed ({form}).", "Decompress it and send again."
    if form := _wide_encoding(data):
        said = f"is {form}, which is not the encoding of the contract."
        return "wrong_encoding", said, "Export in the encoding of the contract (UTF-8) and send again."
    if data and not data.strip(b"\x00"):
        return "other_form", "is filled with zero bytes: it may be a transfer that did not end.", "Send it again."
    return None


def _of_magic(data: bytes, table: tuple[tuple[bytes, str], ...]) -> str | None:
    return next((form for magic, form in table if data.startswith(magic)), None)


def _document(data: bytes) -> str | None:
    if not data.startswith(b"PK\x03\x04"):
        return None
    return next((form for inside, form in OFFICE if inside in data[:4096]), None)


def _text(data: bytes) -> str | None:
    return _of_magic(data[:512].removeprefix(codecs.BOM_UTF8).lstrip().lower(), TEXTS)


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 by its mark, or by the zero bytes that every second character of plain text then is."""
    for mark, name in WIDE:
        if data.startswith(mark):
            return name
    start = data[:400]
    for odd in (0, 1):
        if len(start) >= 8 and not start[odd::2].strip(b"\x00") and b"\x00" not in start[1 - odd :: 2]:
            return "UTF-16"
    return None
