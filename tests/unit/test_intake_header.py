"""What is said of a header line that is not the contract's: names of the contract and counts, never a word of the
line, which may be data."""

from __future__ import annotations

import pytest

from jobs.errors import ContractRefused
from jobs.intake.header import match_header
from jobs.intake.lines import Place
from schemas.loader import Csv

COLUMNS = ("ETA_NUM", "RSA_NUM", "AGE_ANN", "COD_SEX")
PLACE = Place("pmsi_mco/2024-03/v1", "T.csv", "pmsi_mco/t")


def refusal(header: str) -> ContractRefused:
    with pytest.raises(ContractRefused) as caught:
        match_header(header.encode(), Csv(), COLUMNS, PLACE)
    assert caught.value.next_step
    return caught.value


@pytest.mark.parametrize("header", ["ETA_NUM;RSA_NUM;AGE_ANN;COD_SEX", '"COD_SEX";"AGE_ANN";RSA_NUM;ETA_NUM'])
def test_the_columns_in_any_order_with_or_without_quotes(header: str) -> None:
    assert match_header(header.encode(), Csv(), COLUMNS, PLACE) == tuple(header.replace('"', "").split(";"))


BLANKS = "Names that have blanks or invisible characters around or within them"


@pytest.mark.parametrize(
    ("header", "reason", "said"),
    [
        ("eta_num;Rsa_Num;AGE_ANN;COD_SEX", "column_form", ["Names that differ in case: 2 of 4 (ETA_NUM, RSA_NUM)."]),
        ("ETA_NUM ; RSA_NUM;AGE_ANN;COD_SEX", "column_form", [f"{BLANKS}: 2 of 4 (ETA_NUM, RSA_NUM)."]),
        ("ETA_NUM\u00a0;RSA_NUM;\u200bAGE_ANN;COD_SEX\t", "column_form", [f"{BLANKS}: 3 of 4"]),
        ("\u2003ETA_NUM;RSA_NUM;AGE\u00ad_ANN;COD_SEX", "column_form", [f"{BLANKS}: 2 of 4 (ETA_NUM, AGE_ANN)."]),
        ('" ETA_NUM";RSA_NUM;AGE_ANN;COD_SEX', "column_form", [f"{BLANKS}: 1 of 4 (ETA_NUM)."]),
        ("'ETA_NUM';RSA_NUM;AGE_ANN;COD_SEX", "column_form", ["within other quotes: 1 of 4 (ETA_NUM)."]),
        ("\ufeffETA_NUM;RSA_NUM;AGE_ANN;COD_SEX", "column_form", ["second byte order mark: 1 of 4 (ETA_NUM)."]),
        ("\ufeffeta_num;RSA_NUM;AGE_ANN;COD_SEX", "column_form", ["second byte order mark", "differ in case: 1 of 4"]),
        ("ETA_NUM;RSA_NUM;AGE_ANN;COD_SEX;", "extra_column", ["last column name is empty: the line ends with a sep"]),
        ("ETA_NUM;RSA_NUM;AGE_ANN;COD_SEX;;", "extra_column", ["2 column names are empty, at position 5, 6"]),
        ("ETA_NUM;RSA_NUM;;AGE_ANN;COD_SEX", "extra_column", ["1 column names are empty, at position 3"]),
        ("ETA_NUM;RSA_NUM;AGE_ANN;COD_SEX;DUPONT", "extra_column", ["does not have 1 of the columns", "at position 5"]),
        ("eta_num;RSA_NUM;COD_SEX;DUPONT", "missing_column", ["differ in case: 1", "lacks: AGE_ANN.", "position 4"]),
        ("ETA_NUM;RSA_NUM;AGE_ANN;COD_SEX;eta_num", "duplicated_column", ["names twice: ETA_NUM."]),
        ("ETA_NUM;RSA_NUM;AGE_ANN;COD_SEX;COD_SEX", "duplicated_column", ["names twice: COD_SEX."]),
        ("eta_num,rsa_num,age_ann,cod_sex", "wrong_separator", ["by a comma, not by a semicolon"]),
        ("ETA_NUM\tRSA_NUM\tAGE_ANN\tCOD_SEX", "wrong_separator", ["by a tab, not by a semicolon"]),
        ("ETA_NUM|RSA_NUM|AGE_ANN|COD_SEX", "wrong_separator", ["by a vertical bar"]),
        ("DUPONT;185057800608436;51;1", "missing_column", ["none of the 4 columns", "it has 4 fields", "there?"]),
        ("DUPONT", "missing_column", ["it has 1 field)", "header there?"]),
        ("", "missing_column", ["first line is empty"]),
        ("x" * 200_000, "missing_column", ["none of the 4 columns"]),
    ],
)  # fmt: skip
def test_what_is_seen_is_said(header: str, reason: str, said: list[str]) -> None:
    error = refusal(header)
    assert error.reason == reason
    assert [s for s in said if s not in str(error)] == []
    assert "DUPONT" not in str(error) and "1850578" not in str(error)
