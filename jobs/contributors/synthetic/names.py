"""Names and free text that a practice's software holds. They must never reach the lake: tests look for them there.

Family names are put together from syllables, so that a name found anywhere comes from here and from nowhere else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FIRST_SYLLABLES = ("Braz", "Crev", "Dulm", "Fauz", "Grim", "Houv", "Jarz", "Kerv", "Louv", "Morz", "Pruv", "Quev")
MIDDLE_SYLLABLES = ("a", "e", "i", "o", "ou", "an", "on", "eu", "ai", "in")
LAST_SYLLABLES = (
    "bertin",
    "doval",
    "gnoux",
    "lmarc",
    "mbray",
    "nquelin",
    "pifort",
    "rsanne",
    "ssevin",
    "tcheval",
    "zel",
)
GIVEN = {
    1: ("Jean", "Louis", "Karim", "Hugo", "Michel", "Noé", "Rémi", "Thomas", "Yanis", "André"),
    2: ("Marie", "Zoé", "Fatima", "Léa", "Chloé", "Jeanne", "Inès", "Hélène", "Sophie", "Maëlle"),
}
REASONS = (
    "Renouvellement d'ordonnance",
    "Toux et fièvre depuis 3 jours",
    "Douleurs lombaires; arrêt de travail demandé",
    "Certificat médical",
    'Se plaint de "vertiges"',
    "Suivi annuel, vaccination à jour",
    "Résultats de biologie",
    "Fatigue, troubles du sommeil",
)


def family_names(rng: np.random.Generator, size: int) -> npt.NDArray[np.object_]:
    """Invented family names: 1,320 different ones."""
    first = rng.integers(0, len(FIRST_SYLLABLES), size)
    middle = rng.integers(0, len(MIDDLE_SYLLABLES), size)
    last = rng.integers(0, len(LAST_SYLLABLES), size)
    return np.array(
        [
            FIRST_SYLLABLES[a] + MIDDLE_SYLLABLES[b] + LAST_SYLLABLES[c]
            for a, b, c in zip(first, middle, last, strict=True)
        ],
        dtype=object,
    )


def given_names(rng: np.random.Generator, sex: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    """Given names by sex (1 or 2)."""
    pick = rng.integers(0, 10, sex.size)
    return np.array([GIVEN[int(s)][p] for s, p in zip(sex, pick, strict=True)], dtype=object)
