"""The canonical NIR and stage 1: known answers, reasons, and what the pseudonym must not be."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import date

import pytest

from jobs.contributors.agent.canonical import canonical_nir, key_of
from jobs.contributors.agent.stage1 import stage1

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("text", "nir13", "reason"),
    [
        # 97 - 1850578006084 mod 97 = 91, the example that the national forms print
        ("185057800608491", "1850578006084", None),
        (" 1 85 05 78 006 084 91 ", "1850578006084", None),
        ("1\u00a085\u202f05 78 006 084\t91", "1850578006084", None),
        # Corsica, by the other rule: 0 for the letter, less 1 000 000 (A) or 2 000 000 (B)
        ("1.85.05-78/006\u200b084\ufeff91", "1850578006084", None),
        ("299012A00400157", "299012A004001", None),
        ("299012a00400157", "299012A004001", None),
        ("299012B00400184", "299012B004001", None),
        ("", None, "nir_missing"),
        ("  \t", None, "nir_missing"),
        (None, None, "nir_missing"),
        ("185057800608492", None, "nir_key_invalid"),
        ("185057800608400", None, "nir_key_invalid"),
        ("1850578006084", None, "nir_form"),
        ("18505780060849", None, "nir_form"),
        ("1850578006084911", None, "nir_form"),
        ("185052C00608491", None, "nir_form"),
        ("085057800608491", None, "nir_form"),
        ("585057800608491", None, "nir_form"),
        ("1850578006O8491", None, "nir_form"),
        ("١85057800608491", None, "nir_form"),
        ("abc", None, "nir_form"),
    ],
)
def test_canonical(text: str | None, nir13: str | None, reason: str | None) -> None:
    assert canonical_nir(text) == (nir13, reason)


@pytest.mark.parametrize("first", "3478")
def test_provisional_numbers(first: str) -> None:
    nir13 = f"{first}850578006084"
    assert canonical_nir(f"{nir13}{key_of(nir13):02d}").reason == "nir_provisional"
    assert canonical_nir(f"{nir13}{key_of(nir13) % 97 + 1:02d}").reason == "nir_key_invalid"


def test_stage1_is_the_documented_hmac() -> None:
    message = b"hub/p1/v1\x00" + b"1850578006084|19850517|1"
    expected = base64.b32encode(hmac.new(KEY, message, hashlib.sha256).digest())[:17].decode()
    # the last one by openssl and base32
    assert stage1(KEY, "1850578006084", date(1985, 5, 17), "1") == expected == "SFRCYOUY5GOVQ4NYK"


def test_stage1_depends_on_every_part_and_on_the_key() -> None:
    made = {
        stage1(KEY, "1850578006084", date(1985, 5, 17), "1"),
        stage1(KEY, "1850578006085", date(1985, 5, 17), "1"),
        stage1(KEY, "1850578006084", date(1985, 5, 18), "1"),
        stage1(KEY, "1850578006084", date(1985, 5, 17), "2"),
        stage1(KEY[::-1], "1850578006084", date(1985, 5, 17), "1"),
    }
    assert len(made) == 5


def test_stage1_is_no_plain_hash() -> None:
    p1 = stage1(KEY, "1850578006084", date(1985, 5, 17), "1")
    for text in (b"1850578006084", b"1850578006084|19850517|1", b"hub/p1/v1\x001850578006084|19850517|1"):
        for name in ("md5", "sha1", "sha256", "sha512"):
            assert base64.b32encode(hashlib.new(name, text).digest()).decode()[:17] != p1


@pytest.mark.parametrize(
    ("key", "nir13", "birth", "sex"),
    [
        (KEY[:31], "1850578006084", date(1985, 5, 17), "1"),
        (KEY, "185057800608491", date(1985, 5, 17), "1"),
        (KEY, "7850578006084", date(1985, 5, 17), "1"),
        (KEY, "299012a004001", date(1985, 5, 17), "2"),
        (KEY, "1850578006084", date(1985, 5, 17), "M"),
        (KEY, "1850578006084", date(85, 5, 17), "1"),
    ],
)
def test_stage1_refuses_what_is_not_canonical_without_quoting_it(key: bytes, nir13: str, birth: date, sex: str) -> None:
    with pytest.raises(ValueError, match=r"stage-1 key|not a canonical") as caught:
        stage1(key, nir13, birth, sex)
    assert nir13 not in str(caught.value)
