"""One rule: a frozen object whose arguments fit its kind. What it says in words comes from the kind alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from expectations.kinds import FROM_BOOKS, KINDS, OF, RATE_OVER, Kind, sentence
from schemas.text import Lang, Text

Severity = Literal["critical", "warning", "info"]
Scalar = bool | int | float | datetime | date | str

CONCEPT = "omop/concept"
"""The table that says of which domain a concept is."""
ARGUMENTS = ("column", "columns", "values", "min", "max", "regex", "other", "references", "domain", "of")


class Rule(BaseModel):
    """One rule of one table. ``columns`` always holds the columns it is about, in order; ``column`` the first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    id: str = Field(pattern=r"^[A-Z][A-Z0-9]*(-[A-Z0-9]+)+$")
    """Stable and never reused: results of past runs name it."""
    kind: str
    severity: Severity
    why: Text
    """What goes wrong for the reader of the data when the rule does not hold."""
    column: str | None = None
    columns: tuple[str, ...] = ()
    values: tuple[Scalar, ...] = ()
    min: Scalar | None = None
    max: Scalar | None = None
    regex: str | None = None
    """Form of the whole value: anchors are added, so that nothing before or after slips through."""
    other: str | None = None
    references: str | None = None
    """``omop/person.person_id``; without a column, the columns of the same names."""
    domain: tuple[str, ...] = ()
    of: str | None = None
    max_rate: float | None = Field(default=None, ge=0, le=1)
    """Share of violating rows that is tolerated; 0 when neither limit is given."""
    max_count: int | None = Field(default=None, ge=0)
    """Number of violating rows that is tolerated; with ``max_rate`` both must hold."""
    meta: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _one_shape(cls, data: Any) -> Any:
        """``column`` and ``columns`` name the same thing; ``domain`` may be one word."""
        if not isinstance(data, dict):
            return data
        shaped = dict(data)
        if isinstance(shaped.get("domain"), str):
            shaped["domain"] = (shaped["domain"],)
        if "column" in shaped and "columns" in shaped:
            raise ValueError("give column or columns, not both")
        if "column" in shaped:
            shaped["columns"] = (shaped["column"],)
        elif isinstance(shaped.get("columns"), (list, tuple)) and len(shaped["columns"]) == 1:
            shaped["column"] = shaped["columns"][0]
        return shaped

    @model_validator(mode="after")
    def _arguments_fit(self) -> Rule:
        spec = KINDS.get(self.kind)
        if spec is None:
            raise ValueError(f"unknown kind {self.kind!r}; the kinds are {', '.join(KINDS)}")
        given = {a for a in ARGUMENTS if getattr(self, a) not in (None, ())}
        wanted, allowed = set(spec.required), spec.required | spec.optional
        if "columns" in wanted or "columns" in allowed:
            given.discard("column")
        elif "column" in given:
            given.discard("columns")
        if missing := wanted - given:
            raise ValueError(f"{self.kind} needs {', '.join(sorted(missing))}")
        if strange := given - allowed:
            raise ValueError(f"{self.kind} has no {', '.join(sorted(strange))}")
        if spec.one_of and not spec.one_of & given:
            raise ValueError(f"{self.kind} needs one of {', '.join(sorted(spec.one_of))}")
        self._arguments_mean_something()
        return self

    def _arguments_mean_something(self) -> None:
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("a column is named twice")
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value is listed twice")
        if self.regex is not None:
            try:
                re.compile(self.regex)
            except re.error as error:
                raise ValueError(f"regex is not a regular expression: {error}") from None
        if self.kind == "rate":
            self._rate_is_of_something()
        if self.kind == "row_count":
            self._rows_are_whole()

    def _rate_is_of_something(self) -> None:
        if self.of not in OF:
            raise ValueError(f"of must be one of {', '.join(OF)}")
        if (self.of in FROM_BOOKS) == (self.column is not None):
            raise ValueError("column goes with of = 'unmapped', and only with it")

    def _rows_are_whole(self) -> None:
        if any(limit is not None and (type(limit) is not int or limit < 0) for limit in (self.min, self.max)):
            raise ValueError("min and max of row_count are whole numbers")
        if isinstance(self.min, int) and isinstance(self.max, int) and self.min > self.max:
            raise ValueError("min is greater than max")
        if self.max_rate is not None or self.max_count is not None:
            raise ValueError("row_count is limited by min and max, it has no max_rate or max_count")

    @property
    def spec(self) -> Kind:
        return KINDS[self.kind]

    @property
    def flag(self) -> str:
        """Name of the boolean column that ``counters.annotate`` adds for this rule."""
        return f"_ok_{self.id}"

    @property
    def pattern(self) -> str:
        """The form of the whole value, read alike by Java (Spark) and Python: ``$`` alone lets a last newline pass."""
        return rf"^(?:{self.regex})(?![\s\S])"

    @property
    def reference(self) -> tuple[str, tuple[str, ...]]:
        """Table and columns that a foreign key points to."""
        table, _, column = (self.references or "").partition(".")
        return table, (column,) if column else self.columns

    @property
    def looks_into(self) -> str | None:
        """The other table that the rule has to read; None when the row says it all."""
        if self.kind == "concept_domain":
            return CONCEPT
        return self.reference[0] if self.references else None

    @property
    def allowed_rate(self) -> float:
        """``max_rate``; when only ``max_count`` is given the count alone decides."""
        if self.max_rate is not None:
            return self.max_rate
        return 0.0 if self.max_count is None else 1.0

    @property
    def owner(self) -> str:
        return self.meta.get("owner", "")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that the kind knows, without the empty ones."""
        return {a: getattr(self, a) for a in ARGUMENTS if getattr(self, a) not in (None, ())}

    def claim(self, lang: Lang) -> str:
        """What the rule says of a good row: generated from the kind."""
        return sentence(self.kind, self.arguments, lang)

    @property
    def counted(self) -> Mapping[Lang, str]:
        """The rows that the rule is asked about, in words."""
        return RATE_OVER[self.of] if self.of else self.spec.counted

    @property
    def claims(self) -> dict[str, str]:
        return {"fr": self.claim("fr"), "en": self.claim("en")}
