"""Places of the synthetic population: départements, communes, hospitals. INSEE codes are real, facilities invented."""

from __future__ import annotations

PLACES: tuple[tuple[str, str, int], ...] = (
    # département, commune (last three characters of the INSEE code), weight
    ("75", "113", 60),
    ("13", "055", 45),
    ("2A", "004", 9),
    ("974", "411", 18),
    ("69", "123", 40),
    ("2B", "033", 9),
    ("59", "350", 45),
    ("971", "105", 12),
    ("33", "063", 34),
    ("31", "555", 32),
    ("44", "109", 32),
    ("67", "482", 28),
    ("34", "172", 28),
    ("35", "238", 28),
    ("62", "041", 30),
    ("76", "540", 26),
    ("06", "088", 26),
    ("38", "185", 26),
    ("57", "463", 22),
    ("93", "066", 34),
    ("92", "012", 34),
    ("77", "288", 28),
    ("29", "019", 20),
    ("63", "113", 16),
    ("54", "395", 16),
    ("21", "231", 14),
    ("87", "085", 10),
    ("14", "118", 16),
    ("45", "234", 15),
    ("80", "021", 14),
    ("973", "302", 5),
    ("972", "209", 6),
)
FIRST_PLACES = 8
"""So many practices are settled in the order above, so that Corsica and the overseas départements always appear."""

ABROAD = ("352", "351", "350", "139", "134", "216", "109", "331")
"""Country codes that stand in place of the commune when the département is 99."""

_DCIR = {"2A": "201", "2B": "202"}
_PMSI = {"971": "9A", "972": "9B", "973": "9C", "974": "9D"}

LEGAL_FINESS = "750712184"
"""A hospital group that sends the same stay under this legal number ..."""
DUPLICATE_FINESS = "750100042"
"""... and under this geographic one, which every analyst drops (facts: list of duplicate FINESS) ..."""
LAST_DUPLICATE_YEAR = 2017
"""... in stays discharged until then."""


def dcir_department(department: str) -> str:
    """BEN_RES_DPT: three characters (075, 201, 974)."""
    return _DCIR.get(department, department.rjust(3, "0"))


def pmsi_department(department: str) -> str:
    """BDI_DEP: two characters (75, 2A, 9D)."""
    return _PMSI.get(department, department)


def insee(department: str, commune: str) -> str:
    """INSEE code of a commune, five characters; overseas the département has three and overlaps by one."""
    return department + (commune[1:] if len(department) == 3 else commune)


def birth_place(department: str, commune: str) -> tuple[str, str]:
    """Département (two characters) and commune (three) as a NIR writes them: 974 411 becomes 97 411."""
    return department[:2], commune


def hospital(department: str, number: int) -> str:
    """FINESS of an invented hospital, nine characters; overseas numbers begin with 97."""
    if department == "75" and number == 0:
        return LEGAL_FINESS
    if len(department) == 3:
        return f"970{department[2]}{80000 + 137 * (number + 1)}"
    return f"{department}0{780000 + 137 * (number + 1)}"
