"""Renders the templates in one language, for the server and for files. No server here, no database."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from catalogue.web import words
from jobs.delivery import Subject
from schemas import text
from schemas.text import LANGS, Lang

HERE = Path(__file__).resolve().parent


@pass_context
def _typographic(context: Context, value: Any) -> Any:
    """Texts of the contracts and rules, as French print has them; what is markup already was texts before."""
    return text.typographic(value) if context.get("lang") == "fr" and type(value) is str else value


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_typographic,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["subject"] = Subject.parse
    made.filters["path"] = partial(quote, safe="/")
    return made


@cache
def style() -> Markup:
    """The style of all pages, for a page that has to carry it."""
    return Markup((HERE / "static" / "hub.css").read_text("utf-8"))  # noqa: S704 a file of ours, never of others


def to_html(
    template: str,
    lang: Lang,
    values: Mapping[str, Any],
    in_languages: Mapping[Lang, str],
    *,
    place: str = "site",
    exact: bool = False,
) -> str:
    """One page in one language. ``in_languages``: where the same page is in each language.

    ``place`` is where the page stands: on the ``site``; in a ``frame`` of Airflow, without the site's menu and with
    links that open beside the frame; in a ``file`` that carries its style and links to nothing but its translation.
    ``exact``: the values hold exact counts of rows, and the page says so.
    """
    return (
        _templates()
        .get_template(template)
        .render(
            {"section": "", "here": "", "synthetic": None, **values},
            lang=lang,
            other=next(other for other in LANGS if other != lang),
            in_languages=in_languages,
            place=place,
            exact=exact,
            style=style() if place == "file" else "",
            t=partial(words.say, lang),
            reason=partial(words.reason, lang),
            num=partial(text.number, lang),
            percent=partial(text.percent, lang),
            allowed=partial(text.limit, lang),
            month=partial(text.month, lang),
            day=partial(text.day, lang),
            moment=partial(text.moment, lang),
        )
    )
