"""Medical outline of the synthetic population, as data: chronic diseases, reasons for a visit, hospital stays.

Prevalence and rates are orders of magnitude for France, good enough to make plausible tables; they are not a source.
Codes are those of ``schemas/mappings`` (a test holds this): CIM10 without dot, CISP2, CCAM; ``topic`` names the
drugs and acts that go with a disease.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bands = tuple[float, float, float, float, float]
BAND_STARTS = (0, 15, 40, 60, 75)
"""Ages at which the bands begin."""


@dataclass(frozen=True)
class Disease:
    """A chronic disease: share of the population by age band; ``ald``: a long-term disease, fully reimbursed."""

    topic: str
    cim10: str
    cisp2: str
    share: Bands
    ald: bool = False


DISEASES = (
    Disease("hypertension", "I10", "K86", (0, 0.02, 0.18, 0.42, 0.62)),
    Disease("diabetes", "E119", "T90", (0, 0.01, 0.06, 0.14, 0.18), ald=True),
    Disease("lipids", "E780", "T93", (0, 0.01, 0.12, 0.28, 0.30)),
    Disease("asthma", "J459", "R96", (0.07, 0.06, 0.05, 0.04, 0.04)),
    Disease("copd", "J449", "R95", (0, 0, 0.02, 0.06, 0.08), ald=True),
    Disease("thyroid", "E039", "", (0, 0.01, 0.04, 0.06, 0.07)),
    Disease("depression", "F329", "P76", (0, 0.04, 0.08, 0.07, 0.09)),
    Disease("heart_failure", "I509", "K77", (0, 0, 0.01, 0.04, 0.13), ald=True),
    Disease("atrial_fibrillation", "I489", "K78", (0, 0, 0.01, 0.05, 0.14), ald=True),
    Disease("coronary", "I251", "", (0, 0, 0.02, 0.08, 0.13), ald=True),
    Disease("knee", "M171", "", (0, 0, 0.03, 0.10, 0.18)),
    Disease("dementia", "G309", "", (0, 0, 0, 0.01, 0.09), ald=True),
    Disease("reflux", "K219", "", (0, 0.03, 0.08, 0.12, 0.15)),
    Disease("osteoporosis", "M810", "", (0, 0, 0.01, 0.07, 0.14)),
    Disease("prostate", "N40", "", (0, 0, 0.03, 0.16, 0.25)),
    Disease("cancer", "C509", "", (0, 0.001, 0.012, 0.025, 0.02), ald=True),
    Disease("cancer", "C189", "", (0, 0, 0.002, 0.008, 0.012), ald=True),
    Disease("kidney", "N185", "", (0, 0.0003, 0.001, 0.003, 0.005), ald=True),
)


@dataclass(frozen=True)
class Reason:
    """An acute reason for a visit, coded in one or both systems, with its weight by age band."""

    topic: str
    cim10: str
    cisp2: str
    weight: Bands


REASONS = (
    Reason("upper_airways", "J069", "R74", (16, 10, 7, 5, 4)),
    Reason("bronchitis", "J209", "R78", (4, 3, 3, 4, 5)),
    Reason("throat", "J020", "", (4, 3, 1, 0, 0)),
    Reason("otitis", "", "H71", (6, 1, 0, 0, 0)),
    Reason("urinary", "N390", "U71", (0.5, 3, 3, 4, 5)),
    Reason("back", "M545", "L03", (0, 5, 7, 5, 4)),
    Reason("headache", "", "N01", (0.5, 3, 3, 2, 2)),
    Reason("anxiety", "F419", "P74", (0.2, 4, 5, 4, 3)),
    Reason("abdominal_pain", "", "D01", (3, 3, 2, 2, 2)),
    Reason("vomiting", "", "D10", (5, 2, 1, 1, 1)),
    Reason("fever", "", "A03", (6, 2, 1, 1, 1)),
    Reason("cough", "", "R05", (3, 2, 2, 2, 2)),
    Reason("fatigue", "", "A04", (0, 3, 3, 3, 3)),
    Reason("dermatitis", "", "S88", (3, 2, 1, 1, 1)),
    Reason("no_disease", "", "A97", (5, 3, 3, 3, 3)),
)
ANY_AGE = 0
"""Index of the reason that is plausible at every age: it replaces one that is not."""


@dataclass(frozen=True)
class Stay:
    """A kind of hospital stay: main diagnosis, GHM, nights, yearly rate per 1,000 by age band, acts on given days."""

    main: str
    ghm: str
    nights: tuple[int, int]
    rate: Bands
    acts: tuple[tuple[str, int], ...] = ()
    """CCAM code and days since admission (cut to the length of the stay)."""
    surgery: bool = False
    """The first act also has a row for its anaesthesia (activity 4)."""
    needs: str = ""
    """CIM10 code of the chronic disease that the person must have: ``rate`` is then per 1,000 of those."""
    session: bool = False


_NEVER: Bands = (0, 0, 0, 0, 0)
STAYS = (
    Stay("I509", "05M092", (4, 14), (0, 0, 1, 5, 28), (("DZQM006", 1), ("DEQP003", 0))),
    Stay("I110", "05M093", (5, 12), (0, 0, 0.2, 2, 8), (("DEQP003", 0),)),
    Stay("I214", "05M043", (3, 8), (0, 0, 3, 6, 8), (("DDAF006", 0), ("DEQP003", 0))),
    Stay("I639", "01M303", (5, 16), (0, 0, 1, 4, 12), (("ACQN001", 0), ("DEQP003", 1))),
    Stay("I269", "04M052", (4, 9), (0, 0.1, 0.4, 1, 3), (("ZBQH001", 0),)),
    Stay("J189", "04M053", (4, 12), (2, 0.5, 1, 4, 16), (("ZBQK002", 0),)),
    Stay("U0710", "04M253", (4, 12), (0.5, 0.2, 0.6, 2, 8), (("ZBQH001", 0),)),
    Stay("J449", "04M082", (4, 10), (0, 0, 1, 5, 8), (("ZBQK002", 0),)),
    Stay("A419", "18M073", (6, 15), (0.3, 0.2, 0.7, 2, 6)),
    Stay("E1128", "10M033", (3, 9), (0, 0, 1, 3, 4)),
    Stay("D649", "16M111", (0, 3), (0.2, 0.4, 1, 3, 9)),
    Stay("K922", "06M043", (2, 6), (0, 0.2, 0.6, 2, 6), (("HHQE005", 1),)),
    Stay("R074", "05M20T", (0, 1), (0, 1, 3, 4, 4), (("DEQP003", 0),)),
    Stay("R104", "06M12T", (0, 1), (2, 2, 2, 2, 3)),
    Stay("N10", "11M041", (2, 5), (0.5, 1, 1, 2, 3)),
    Stay("S7200", "08C483", (7, 16), (0, 0, 0, 2, 14), (("NEKA020", 1),), surgery=True),
    Stay("M171", "08C243", (4, 7), (0, 0, 1, 6, 6), (("NFKA007", 1),), surgery=True),
    Stay("M161", "08C481", (4, 7), (0, 0, 1, 5, 6), (("NEKA020", 1),), surgery=True),
    Stay("K358", "06C082", (1, 4), (2, 1.6, 0.6, 0, 0), (("HHFA016", 0),), surgery=True),
    Stay("K802", "07C141", (0, 3), (0, 1, 2, 3, 2), (("HMFC004", 0),), surgery=True),
    Stay("K635", "06K04J", (0, 0), (0, 0, 18, 24, 8), (("HHQE005", 0),), surgery=True),
    Stay("H269", "02C05J", (0, 0), (0, 0, 0, 30, 60), (("BFGA004", 0),), surgery=True),
    Stay("O800", "14Z14A", (3, 5), (0, 60, 0.5, 0, 0)),
    Stay("O820", "14C08A", (4, 7), (0, 15, 0.3, 0, 0), (("JQGA002", 0),), surgery=True),
    Stay("C509", "09C041", (1, 4), (0, 60, 60, 60, 40), (("QEFA004", 0),), surgery=True, needs="C509"),
    Stay("N40", "12C041", (2, 5), (0, 0, 10, 15, 15), (("JGFA015", 1),), surgery=True, needs="N40"),
    Stay("Z491", "28Z04Z", (0, 0), (9000, 9000, 9000, 9000, 9000), (("JVJF004", 0),), needs="N185", session=True),
    Stay("Z511", "28Z07Z", (0, 0), (1500, 1500, 1500, 1500, 600), needs="C509", session=True),
    Stay("Z511", "28Z07Z", (0, 0), (1500, 1500, 1500, 1500, 600), needs="C189", session=True),
)
ASSOCIATED = ("E660", "D649", "N390", "I10", "E780")
"""Associated diagnoses that any adult's stay may carry, beside the person's own diseases."""
LAST_STAYS = ("I509", "I639", "J189", "A419")
"""Main diagnoses of stays that end with a death."""


def band_of(age: Ints) -> Ints:
    """Index of the age band of each age."""
    return np.searchsorted(BAND_STARTS, age, side="right") - 1
