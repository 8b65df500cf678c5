"""The closed list of rule kinds: what a steward may write in ``expectations/**/*.toml``, and what it says in words.

One kind is one definition. Its arguments are checked when the rule is loaded, its sentence is what the report shows
(a claim about a good row, never written beside the rule), ``counted`` says which rows are the denominator, and
``standard`` names the Great Expectations class that states the same thing on a table. The predicate itself is in
``jobs/quality/counters.py``, and for the rows of a delivery in ``jobs/quality/counting.py``. A missing value never
violates a rule: only ``not_null`` asks for presence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.text import Lang

Arguments = Mapping[str, Any]

LISTED = 8
"""Values of a long code list that the sentence names before it only counts them."""


@dataclass(frozen=True)
class Kind:
    """One kind of rule. ``required`` and ``optional`` name its arguments beside id, severity, limits and why."""

    name: str
    required: frozenset[str]
    fr: Callable[[Arguments], str]
    en: Callable[[Arguments], str]
    counted: Mapping[Lang, str]
    """The rows that the rule can be asked about: the denominator."""
    standard: str
    """Class of Great Expectations (``great_expectations.expectations``)."""
    optional: frozenset[str] = field(default=frozenset())
    one_of: frozenset[str] = field(default=frozenset())
    """At least one of these optional arguments must be given."""
    types: frozenset[str] = field(default=frozenset())
    """Contract types that the column may have; empty: any."""


OF: Mapping[str, Mapping[Lang, str]] = {
    "quarantined": {"fr": "aucune ligne reçue n'est mise en quarantaine", "en": "no received row is quarantined"},
    "duplicate": {"fr": "aucune ligne reçue n'est une copie exacte", "en": "no received row is an exact copy"},
    "unattributable": {
        "fr": "chaque évènement est rattaché à une personne",
        "en": "every event is attributed to one person",
    },
    "unmapped": {
        "fr": "{column} a un concept standard (différent de 0)",
        "en": "{column} has a standard concept (is not 0)",
    },
}
"""What a ``rate`` rule may limit. ``unmapped`` is counted on the column, the others come from the books."""

FROM_BOOKS = frozenset(OF) - {"unmapped"}
STATUSES = frozenset({"quarantined", "duplicate"})
"""Values of ``_status`` in a staged table that a rate can also be counted on."""

PRESENT: Mapping[Lang, str] = {"fr": "lignes où la valeur est renseignée", "en": "rows where the value is present"}
ALL_PRESENT: Mapping[Lang, str] = {
    "fr": "lignes où toutes ces valeurs sont renseignées",
    "en": "rows where all these values are present",
}
ROWS: Mapping[Lang, str] = {"fr": "toutes les lignes", "en": "all rows"}
RECEIVED: Mapping[Lang, str] = {"fr": "lignes reçues", "en": "rows received"}
RATE_OVER: Mapping[str, Mapping[Lang, str]] = {
    "quarantined": RECEIVED,
    "duplicate": RECEIVED,
    "unattributable": {"fr": "évènements des sources", "en": "events of the sources"},
    "unmapped": PRESENT,
}
"""What a ``rate`` rule is a share of."""

NUMBERS = frozenset({"integer", "bigint", "decimal", "double"})
ORDERED = NUMBERS | {"date", "datetime"}


def _list(values: Sequence[Any], unit: str) -> str:
    shown = ", ".join(map(str, values[:LISTED]))
    return shown if len(values) <= LISTED else f"{shown}, … ({len(values)} {unit})"


def _range(words: Mapping[str, str]) -> Callable[[Arguments], str]:
    def sentence(a: Arguments) -> str:
        low, high = a.get("min") is not None, a.get("max") is not None
        return words["both" if low and high else "low" if low else "high"].format(**a)

    return sentence


def _kinds() -> tuple[Kind, ...]:
    column, columns = frozenset({"column"}), frozenset({"columns"})
    limits = frozenset({"min", "max"})
    return (
        Kind(
            "not_null",
            column,
            lambda a: f"{a['column']} est renseigné",
            lambda a: f"{a['column']} is present",
            ROWS,
            "ExpectColumnValuesToNotBeNull",
        ),
        Kind(
            "in_set",
            column | {"values"},
            lambda a: f"{a['column']} est dans la liste : {_list(a['values'], 'valeurs')}",
            lambda a: f"{a['column']} is in the list: {_list(a['values'], 'values')}",
            PRESENT,
            "ExpectColumnValuesToBeInSet",
        ),
        Kind(
            "between",
            column,
            _range(
                {
                    "both": "{column} est compris entre {min} et {max} (inclus)",
                    "low": "{column} est supérieur ou égal à {min}",
                    "high": "{column} est inférieur ou égal à {max}",
                }
            ),
            _range(
                {
                    "both": "{column} is between {min} and {max} (inclusive)",
                    "low": "{column} is at least {min}",
                    "high": "{column} is at most {max}",
                }
            ),
            PRESENT,
            "ExpectColumnValuesToBeBetween",
            optional=limits,
            one_of=limits,
            types=ORDERED,
        ),
        Kind(
            "regex",
            column | {"regex"},
            lambda a: f"{a['column']} a en entier la forme {a['regex']}",
            lambda a: f"{a['column']} has, as a whole, the form {a['regex']}",
            PRESENT,
            "ExpectColumnValuesToMatchRegex",
            types=frozenset({"string"}),
        ),
        Kind(
            "not_before",
            column | {"other"},
            lambda a: f"{a['column']} n'est pas antérieur à {a['other']}",
            lambda a: f"{a['column']} is not before {a['other']}",
            ALL_PRESENT,
            "ExpectColumnPairValuesAToBeGreaterThanB",
            types=ORDERED,
        ),
        Kind(
            "same_sign",
            columns,
            lambda a: f"{' et '.join(a['columns'])} n'ont pas des signes contraires",
            lambda a: f"{' and '.join(a['columns'])} do not have opposite signs",
            ALL_PRESENT,
            "ExpectColumnValuesToBeInSet",
            types=NUMBERS,
        ),
        Kind(
            "in_period",
            columns,
            lambda a: f"{' + '.join(a['columns'])} est dans le mois de la livraison",
            lambda a: f"{' + '.join(a['columns'])} is in the month of the delivery",
            ALL_PRESENT,
            "ExpectColumnValuesToBeInSet",
            types=frozenset({"date", "datetime", "integer"}),
        ),
        Kind(
            "unique",
            columns,
            lambda a: f"{' + '.join(a['columns'])} est unique dans toute la table",
            lambda a: f"{' + '.join(a['columns'])} is unique in the whole table",
            ALL_PRESENT,
            "ExpectCompoundColumnsToBeUnique",
        ),
        Kind(
            "foreign_key",
            columns | {"references"},
            lambda a: f"{' + '.join(a['columns'])} existe dans {a['references']}",
            lambda a: f"{' + '.join(a['columns'])} exists in {a['references']}",
            ALL_PRESENT,
            "ExpectColumnValuesToBeInSet",
        ),
        Kind(
            "concept_domain",
            column | {"domain"},
            lambda a: f"{a['column']} est un concept du domaine {' ou '.join(a['domain'])}",
            lambda a: f"{a['column']} is a concept of the domain {' or '.join(a['domain'])}",
            {"fr": "lignes dont le concept est présent et différent de 0", "en": "rows whose concept is not 0"},
            "ExpectColumnValuesToBeInSet",
            types=frozenset({"integer", "bigint"}),
        ),
        Kind(
            "rate",
            frozenset({"of"}),
            lambda a: OF[a["of"]]["fr"].format(**a),
            lambda a: OF[a["of"]]["en"].format(**a),
            {"fr": "lignes reçues, ou lignes où la valeur est renseignée", "en": "rows received, or rows with a value"},
            "ExpectColumnValuesToNotBeInSet",
            optional=column,
        ),
        Kind(
            "row_count",
            frozenset(),
            _range(
                {
                    "both": "la table a entre {min} et {max} lignes",
                    "low": "la table a au moins {min} ligne(s)",
                    "high": "la table a au plus {max} ligne(s)",
                }
            ),
            _range(
                {
                    "both": "the table has between {min} and {max} rows",
                    "low": "the table has at least {min} row(s)",
                    "high": "the table has at most {max} row(s)",
                }
            ),
            {"fr": "lignes attendues ou présentes, le plus grand des deux", "en": "rows expected or there, the larger"},
            "ExpectTableRowCountToBeBetween",
            optional=limits,
            one_of=limits,
        ),
    )


KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _kinds()}


def sentence(kind: str, arguments: Arguments, lang: Lang) -> str:
    """The claim that a rule makes about a good row, in French or English. Raises ``KeyError`` for an unknown kind."""
    spec = KINDS[kind]
    return (spec.fr if lang == "fr" else spec.en)(arguments)
