"""Every page of the catalogue over HTTP: both languages, links that lead somewhere, headers, escaping, empty states."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urldefrag, urljoin

import httpx
import pytest

from catalogue import db
from catalogue.web import words
from catalogue.web.app import create_app
from tests.conftest import free_port
from tests.web import seed
from tests.web.conftest import serving


class Page(HTMLParser):
    """What a page says of itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.lang = ""
        self.alternates: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {k: v or "" for k, v in attrs}
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        if tag == "html":
            self.lang = found.get("lang", "")
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if found.get("rel") == "alternate":
            self.alternates[found["hreflang"]] = found["href"]


def test_stewards_read_on_a_builds_page_what_was_left_out_and_why(stewards: str) -> None:
    french, english = (get(f"{stewards}/{lang}/quality/build/1").text for lang in ("fr", "en"))
    assert "Plusieurs personnes le partagent." in french and "À attribuer à personne." in french
    assert "Several people share it." in english and "To be attributed to nobody." in english
    section = english.partition('id="left-out"')[2]
    assert all(count in section for count in ("2,203", "2,173", ">7<", ">23<", ">17<"))
    assert 'id="left-out"' not in get(f"{stewards}/en/quality/dcir/2024-01/v1").text


def test_the_public_page_of_a_build_names_no_reason_with_few_rows(full: str) -> None:
    section = get(f"{full}/en/quality/build/1").text.partition('id="left-out"')[2]
    assert "2,175" in section and "To be attributed to nobody." in section
    assert not [shown for shown in ("2,203", "2,173", ">7<", ">23<", "Several people share it.") if shown in section]


def get(address: str, **more: object) -> httpx.Response:
    return httpx.get(address, trust_env=False, timeout=20, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def crawled(full: str) -> dict[str, httpx.Response]:
    """Every page that links lead to from the two front pages, without the text behind ``#``."""
    found: dict[str, httpx.Response] = {}
    waiting = [f"{full}/fr/", f"{full}/en/"]
    while waiting:
        address = waiting.pop()
        if address in found:
            continue
        found[address] = get(address)
        page = Page(found[address].text)
        links = (urldefrag(urljoin(address, link)).url for link in [*page.links, *page.alternates.values()])
        waiting += [link for link in links if link.startswith(full) and link not in found]
    return found


def test_every_link_leads_to_a_page(crawled: dict[str, httpx.Response]) -> None:
    assert len(crawled) > 100
    assert {a: r.status_code for a, r in crawled.items() if r.status_code != 200} == {}


def test_links_within_pages_have_their_target(crawled: dict[str, httpx.Response]) -> None:
    missing = []
    for address, response in crawled.items():
        for link in Page(response.text).links:
            target, mark = urldefrag(urljoin(address, link))
            if mark and mark not in Page(crawled[target].text).ids:
                missing.append((address, link))
    assert missing == []


def test_every_page_is_well_made(crawled: dict[str, httpx.Response]) -> None:
    for address, response in crawled.items():
        page = Page(response.text)
        assert page.lang == address.split("/")[3] or "/airflow/" in address
        assert page.tags.count("h1") == 1, address
        assert "script" not in page.tags, address
        assert len(page.ids) == len(set(page.ids)), address
        assert set(page.alternates) == {"fr", "en"}, address
        assert "set-cookie" not in response.headers


def test_every_page_is_closed_to_scripts_and_frames(crawled: dict[str, httpx.Response]) -> None:
    for address, response in crawled.items():
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), address
        assert "unsafe" not in policy, address
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy, address
        assert response.headers["x-frame-options"] == "DENY", address


def test_texts_of_others_are_escaped(crawled: dict[str, httpx.Response]) -> None:
    for response in crawled.values():
        assert "<script" not in response.text
    assert any("&lt;script&gt;" in r.text for r in crawled.values())


def test_stewards_are_not_named(crawled: dict[str, httpx.Response]) -> None:
    for address, response in crawled.items():
        assert "Camille" not in response.text, address
        assert "known change" not in response.text, address


def test_all_texts_are_in_both_languages() -> None:
    for key, text in words.texts().items():
        assert set(text) == {"fr", "en"}, key
        assert all(text.values()), key


@pytest.mark.parametrize(
    ("lang", "few", "hidden"), [("fr", "moins de 11", "masqué"), ("en", "fewer than 11", "hidden")]
)
def test_small_counts_are_not_shown(full: str, lang: str, few: str, hidden: str) -> None:
    assert f'<span class="hidden">{few}</span>' in get(f"{full}/{lang}/databases/ville").text
    months = get(f"{full}/{lang}/databases/dcir/er_prs_f").text
    assert months.count(f">{hidden}</span>") >= 3
    grid = get(f"{full}/{lang}/databases/omop").text
    assert grid.count(f">{hidden}</span>") == 3  # two cells, and the total of their line


def test_a_search_finds_databases_tables_and_variables(full: str) -> None:
    found = get(f"{full}/fr/", params={"q": "DIAGNOSTIC"}).text
    assert "condition_occurrence" in found
    assert "t_mcoaad" in found
    assert "<h3>Variables" in found
    assert "Rien ne correspond" in get(f"{full}/fr/", params={"q": "xyzzy"}).text
    assert "beneficiaires" not in found
    assert "ir_ben_r" in get(f"{full}/en/", params={"q": "beneficiaires referentiel"}).text


def test_a_search_repeats_words_safely(full: str) -> None:
    page = get(f"{full}/en/", params={"q": '"><script>alert(1)</script>'}).text
    assert "<script" not in page
    assert "&#34;&gt;&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("accept", "lang"),
    [
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("en-GB,en;q=0.9", "en"),
        ("de,en;q=0.3,fr;q=0.2", "en"),
        ("de", "fr"),
        ("", "fr"),
    ],
)
def test_the_root_goes_to_the_readers_language(full: str, accept: str, lang: str) -> None:
    response = get(full + "/", headers={"accept-language": accept})
    assert response.status_code == 302
    assert response.headers["location"] == f"/{lang}/"
    assert response.headers["vary"] == "Accept-Language"


@pytest.mark.parametrize(
    "path",
    [
        "/fr/nope",
        "/de/",
        "/fr/databases/nope",
        "/fr/databases/dcir/nope",
        "/fr/databases/dcir/../../etc",
        "/fr/releases/99",
        "/fr/releases/x",
        f"/fr/releases/{'9' * 40}",
        f"/fr/quality/{'9' * 40}",
        "/fr/quality/build/99",
        "/fr/quality/99",
        "/fr/deliveries/dcir/1999-01/v1",
        "/static/nope.css",
    ],
)
def test_what_does_not_exist_is_a_page_too(full: str, path: str) -> None:
    response = get(full + path)
    assert response.status_code == 404
    assert "Cette page n" in response.text


def test_odd_requests_are_refused_calmly(full: str) -> None:
    assert get(f"{full}/fr/deliveries/a%00b").status_code == 400
    assert get(f"{full}/fr/?q=%00").status_code == 400
    assert httpx.post(f"{full}/fr/", trust_env=False).status_code == 405
    assert httpx.head(f"{full}/fr/", trust_env=False).status_code == 200
    assert get(f"{full}/docs").status_code == 404
    assert get(f"{full}/openapi.json").status_code == 404


def test_a_language_alone_goes_to_its_front_page(full: str) -> None:
    assert get(f"{full}/fr").headers["location"] == "/fr/"


def test_the_health_of_the_catalogue_is_known(full: str, empty: str) -> None:
    assert get(f"{full}/healthz").json() == {"status": "ok", "release": 2}
    assert get(f"{empty}/healthz").json() == {"status": "ok", "release": None}


def test_a_database_that_does_not_answer_is_said_without_details(tmp_path: Path) -> None:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'never-migrated.db'}")
    with serving(create_app(engine), free_port()) as at:
        assert get(f"{at}/healthz").status_code == 503
        response = get(f"{at}/en/")
    assert response.status_code == 503
    assert "does not answer" in response.text
    assert "sqlite" not in response.text.lower()
    assert "content-security-policy" in response.headers


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/en/", "Nothing is released yet"),
        ("/en/databases/dcir", "Not described yet"),
        ("/en/databases/dcir/er_prs_f", "Not described yet"),
        ("/en/quality", "No check has been made yet"),
        ("/en/releases", "There is no release yet"),
        ("/en/deliveries", "No delivery is known yet"),
        ("/airflow/quality?dag_id=ingest_dcir&run_id=x", "contrôle"),
    ],
)
def test_an_empty_hub_says_what_to_do(empty: str, path: str, says: str) -> None:
    response = get(empty + path)
    assert response.status_code == 200
    assert says in response.text


def test_airflow_finds_the_report_of_its_run(stewards: str) -> None:
    dag, _, run = seed.RUN.partition("/")
    for sent in (
        quote(run, safe=""),
        quote(quote(run, safe="")),
        run,
    ):  # Airflow's own link leaves the plus sign of a run id as it is
        response = get(f"{stewards}/airflow/quality?dag_id={dag}&run_id={sent}&lang=en")
        assert response.status_code == 200
        assert "dcir/2024-02/v2" in response.text
        assert 'data-verdict="warning"' in response.text
        assert "frame-ancestors http://127.0.0.1:" in response.headers["content-security-policy"]
    assert "pas encore de contrôle" in get(f"{stewards}/airflow/quality?dag_id={dag}&run_id=other").text
    build = get(f"{stewards}/airflow/quality?dag_id=build_omop&run_id=1&lang=en")
    assert "Check of Build 1" in build.text


def test_the_books_are_shown_and_add_up(stewards: str) -> None:
    page = get(f"{stewards}/en/deliveries/dcir/2024-02/v2").text
    for number in ("12,480", "12,420", "48", "37,440", "37,260", "144"):
        assert re.search(rf">{number}<", page), number
    assert "value cannot be read <code>EXE_SOI_DTD</code>" in page
    refused = get(f"{stewards}/en/deliveries", params={"state": "rejected"}).text
    assert "refused at the quality gate" in refused
    assert refused.count("<tr>") == 3  # head, the one delivery, total
    assert "Replaced" not in refused


def test_stewards_see_what_reversals_settle_of_a_delivery_and_which_build_says_so(full: str, stewards: str) -> None:
    page = get(f"{stewards}/en/deliveries/dcir/2024-02/v2").text
    assert 'reversals settle 23: <a href="/en/quality/build/2">Build 2</a>' in page
    assert re.search(r"settle 23\b", get(f"{stewards}/en/deliveries/dcir/2024-02/v1").text)  # as build 1 found it
    assert "reversals settle" not in get(f"{stewards}/en/deliveries/dcir/2024-01/v1").text
    listed = get(f"{stewards}/en/deliveries", params={"source": "dcir"}).text
    assert "Settled by the build" in listed and '<td class="n">23</td></tr>' in listed
    for path in ("deliveries", "deliveries/dcir/2024-02/v2"):
        public = get(f"{full}/en/{path}").text
        assert "Settled by the build" not in public and "reversals settle" not in public, path


def test_the_public_books_are_rounded_and_add_up_to_what_is_shown(full: str) -> None:
    page = get(f"{full}/en/deliveries/dcir/2024-02/v2").text
    for number in ("12,420", "15", "30", "12,465", "37,260", "37,395"):  # 12 copies are 15
        assert f">{number}<" in page, number
    for exact in ("48", "144", "12,480", "37,440", "998,400"):
        assert f">{exact}<" not in page, exact
    assert "detail without its parent row" not in page  # eight rows
    assert ">37,395<" in get(f"{full}/en/deliveries", params={"source": "dcir"}).text
    assert ">37,395<" in get(f"{full}/en/quality/dcir/2024-02/v2").text


def test_the_public_sees_shares_of_rules_and_no_counts(full: str, stewards: str) -> None:
    page, exact = (get(f"{at}/en/quality/dcir/2024-02/v2").text for at in (full, stewards))
    assert "310 of 12,380" in exact
    assert "2.5%" in exact
    assert "310" not in page
    assert "<strong>3%</strong>" in page
    assert ">hidden</span>" in page


def test_stewards_see_who_decided_and_why_and_are_told_what_they_see(full: str, stewards: str) -> None:
    for path in ("quality/dcir/2024-02/v2", "deliveries/dcir/2024-02/v2"):
        page = get(f"{stewards}/en/{path}")
        assert "Camille Martin" in page.text
        assert "known change of codes" in page.text
        assert "stewards: exact counts" in page.text
        assert "Do not pass them on" in page.text
        assert page.headers["cache-control"] == "no-store"
        assert "exact" not in get(f"{full}/en/{path}").text.partition("<main")[0]
    assert get(f"{stewards}/robots.txt").text.endswith("Disallow: /\n")


def test_a_decision_stands_on_top_of_the_check_that_it_is_on(stewards: str, full: str) -> None:
    for address in (f"{stewards}/en/quality/dcir/2024-02/v2", f"{full}/en/quality/dcir/2024-02/v2"):
        page = get(address).text.partition("<main")[2]
        assert page.index("Approved by a data steward") < page.index("<strong>Warnings</strong>")
    page = get(f"{stewards}/en/quality/dcir/2024-02/v2").text
    assert "Decision on an earlier check" not in page
    assert "Nothing: the decision is taken" in page
    assert "Decide in Airflow" not in page
    assert "Decide in Airflow" in get(f"{stewards}/en/quality/{seed.WAITING}").text


def test_a_broken_rule_stands_beside_its_months_before(stewards: str, full: str) -> None:
    exact, public = (get(f"{at}/en/quality/dcir/2024-02/v2").text for at in (stewards, full))
    for page, before, now in ((exact, "0.83%", "2.5%"), (public, "1%", "3%")):
        table = page[page.index('<table class="earlier">') :].partition("</table>")[0]
        assert '<a href="/en/quality/dcir/2024-01/v1">January 2024</a>' in table
        assert f'<td class="n">{before}</td><td class="n">{now}</td>' in table
        assert '<td class="n">Passed</td><td class="n">Failed</td>' in table
        assert "March" not in table


def test_what_is_made_up_says_so_wherever_it_is(full: str) -> None:
    every, some = "these rows are made up", "Some of these data are synthetic"
    for path, said in {
        "": some,
        "databases/omop": some,
        "databases/omop/person": some,
        "databases/dcir": every,
        "databases/dcir/er_prs_f": every,
        "deliveries": some,
        "deliveries/dcir/2024-02/v2": every,
        "quality": some,
        "quality/dcir/2024-02/v2": every,
        "quality/build/1": some,
        "releases": some,
        "releases/2": some,
    }.items():
        assert said in get(f"{full}/en/{path}").text, path
    for path in ("databases/ville", "deliveries/ville/2024-01/v1", "quality/ville/2024-01/v1", "about"):
        page = get(f"{full}/en/{path}").text
        assert every not in page
        assert some not in page


def test_a_card_shows_the_worst_verdict_and_the_release_of_its_figures(tmp_path: Path) -> None:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    db.migrate(engine)
    names = ["dcir/2024-01/v1", "dcir/2024-02/v1"]
    for name, verdict in zip(names, ("warning", "passed"), strict=True):
        seed.arrive(engine, name)
        seed.judge(engine, name, verdict)
        seed.published(engine, name, run="ingest/1")
    first = seed.release(engine, names[:1], 1)
    db.set_figures(engine, first, seed.figures())
    seed.release(engine, names[1:], 2)  # not described yet
    with serving(create_app(engine), free_port()) as at:
        home, page = get(f"{at}/en/").text, get(f"{at}/en/databases/dcir").text
    engine.dispose()
    card = home[home.index("/en/databases/dcir") :].partition("</li>")[0]
    for html in (card, page):
        assert "Warnings" in html  # of January; February, judged later, passed
        assert "January 2024 to February 2024" in html  # deliveries, and care as the figures date it
        assert 'href="/en/releases/1">release 1</a> <span class="quiet">(no longer the current release)' in html
    assert "Dates of care" in card
    assert "Figures of release 1 of" in page


def test_the_stewards_pages_answer_to_their_own_names_only(stewards: str) -> None:
    assert get(f"{stewards}/en/", headers={"host": "evil.example"}).status_code == 400


def test_a_delivery_says_what_the_lake_holds_in_its_place(full: str) -> None:
    link = 'Replaced in the lake by <a href="/en/deliveries/dcir/2024-02/v2">'
    assert get(f"{full}/en/deliveries").text.count(link) == 1
    assert link in get(f"{full}/en/deliveries/dcir/2024-02/v1").text
    assert "The lake keeps its rows" not in get(f"{full}/en/deliveries").text


def test_a_withdrawn_month_says_so_and_keeps_the_reason_to_itself(tmp_path: Path) -> None:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    db.migrate(engine)
    for name, reason in (
        ("dcir/2024-01/v1", "a word of the operator"),
        ("dcir/2024-02/v1", ""),
    ):
        db.announce(engine, name, {"files": []}, name)
        for step in ("pulled", "staged"):
            db.record_event(engine, name, step)
        books = {"table": "er_prs_f", "file": "a.csv", "rows_in": 300, "rows_published": 300, "rows_duplicate": 0}
        db.set_books(engine, name, [books | {"rows_quarantined": {}}])
        db.record_event(engine, name, "published", detail={"rows": {"er_prs_f": 300}})
        if reason:
            db.record_event(engine, name, "withdrawn", reason=reason)
    with serving(create_app(engine), free_port()) as at, serving(create_app(engine, exact=True), free_port()) as own:
        every = httpx.get(f"{at}/fr/deliveries").text
        page = httpx.get(f"{at}/en/deliveries/dcir/2024-01/v1").text
        counted = httpx.get(f"{own}/en/deliveries").text
    engine.dispose()
    assert "retirée" in every
    assert "withdrawn" in page
    assert "a word of the operator" not in every + page
    total = counted[counted.index("<tfoot>") :]
    assert total.count(">300<") == 3, "in the lake, received, published: of the other month"


def test_the_totals_of_deliveries_leave_out_what_was_replaced(stewards: str) -> None:
    page = get(f"{stewards}/en/deliveries").text
    total = page[page.index("<tfoot>") :]
    assert ">211,140<" in total  # in the lake: 17 tables of 12,420 rows
    assert ">262,080<" in total  # received: 21 files of 12,480 rows, the replaced month counted once


def test_the_catalogue_never_reaches_for_the_lake_or_spark() -> None:
    code = (
        "import sys, catalogue.web.app; "
        "print([m for m in sys.modules if m.split('.')[0] in ('pyspark', 'pyarrow', 'airflow', 'great_expectations') "
        "or m.startswith(('jobs.lake', 'jobs.spark', 'jobs.steps', 'jobs.quality'))])"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"


def test_a_refusal_says_why_before_anything_else(tmp_path: Path) -> None:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    db.migrate(engine)
    name, said = "dcir/2024-01/v1", "ER_PRS_F_202401.csv (dcir/er_prs_f): the header lacks: PRS_NAT_REF."
    db.announce(engine, name, {"files": []}, name)
    for state in ("pulled", "staged", "published"):
        db.record_event(engine, name, state)
    db.record_event(engine, name, "rejected", reason="missing_column", detail={"said": said}, run="ingest_dcir/x+1")
    with serving(create_app(engine, exact=True), free_port()) as at:
        page = httpx.get(f"{at}/en/deliveries/{name}").text
        tab = httpx.get(f"{at}/airflow/quality", params={"dag_id": "ingest_dcir", "run_id": "x+1", "lang": "en"}).text
        other = httpx.get(f"{at}/airflow/quality", params={"dag_id": "ingest_dcir", "run_id": "y", "lang": "en"}).text
    with serving(create_app(engine), free_port()) as at:
        public = httpx.get(f"{at}/en/deliveries/{name}").text
    engine.dispose()
    assert said not in public  # it may hold counts
    assert "a column is missing" in public
    assert said in page
    assert "The lake keeps its rows as published before." in page
    assert said in tab
    assert f'href="/en/deliveries/{name}"' in tab
    assert "This run has no check yet" not in tab
    assert "This run has no check yet" in other
    assert page.index("a column is missing") < page.index(said) < page.index("First seen")
    assert "Never judged" in page
    assert "Not judged yet" not in page


def test_a_check_leads_to_its_delivery_and_to_its_run(tmp_path: Path) -> None:
    engine = db.open_engine(f"sqlite:///{tmp_path / 'hub.db'}")
    db.migrate(engine)
    name, (dag, _, run) = "dcir/2024-02/v2", seed.RUN.partition("/")
    db.announce(engine, name, {"files": []}, name)
    number = db.add_quality_run(engine, name, [], "passed", run=seed.RUN)
    db.start_build(engine, [name])
    build = db.add_quality_run(engine, "build/1", [], "passed")
    with serving(create_app(engine, exact=True, airflow_origins=("https://airflow.test",)), free_port()) as at:
        of_delivery = httpx.get(f"{at}/en/quality/{number}").text
        of_build = httpx.get(f"{at}/en/quality/{build}").text
    engine.dispose()
    assert f'<a href="/en/deliveries/{name}">' in of_delivery
    assert f'<a href="https://airflow.test/dags/{dag}/runs/{quote(run, safe="")}"' in of_delivery
    assert 'target="_blank"' not in of_build


def test_a_run_in_airflows_frame_is_the_same_page_without_the_sites_menu(stewards: str) -> None:
    dag, _, run = seed.RUN.partition("/")
    asked = {"dag_id": dag, "run_id": run, "lang": "en"}
    framed = get(f"{stewards}/airflow/quality", params=asked).text
    alone = get(f"{stewards}/en/quality/dcir/2024-02/v2").text
    main = framed.partition("<main")[2].partition("</main>")[0]
    assert main.split("</h1>")[1] in alone  # but for the breadcrumb above the title
    assert '<base target="_blank">' in framed
    assert "<nav" not in framed
    assert "<nav" in alone
    (other,) = (link for link in Page(framed).links if "lang=fr" in link)
    assert get(urljoin(stewards, other)).text.count("Contrôle de dcir/2024-02/v2") > 0


@pytest.mark.parametrize("lang", ["fr", "en"])
def test_stewards_see_on_one_page_what_waits_for_somebody(stewards: str, lang: str) -> None:
    page = get(f"{stewards}/{lang}/to-do")
    assert page.status_code == 200
    waiting, refused, late = page.text.split("<h2>")[1:]
    assert f"/{lang}/deliveries/{seed.WAITING}" in waiting and f"/{lang}/quality/{seed.WAITING}" in waiting
    assert f"/{lang}/deliveries/{seed.REJECTED}" in refused and seed.WAITING not in refused
    assert f"/{lang}/databases/pmsi_mco" in late and f"/{lang}/deliveries/{seed.REJECTED}" in late
    for link in Page(page.text).links:
        if link.startswith("/"):
            assert get(f"{stewards}{link}").status_code == 200, link


def test_a_delivery_says_when_it_was_due(full: str) -> None:
    page = get(f"{full}/en/deliveries/{seed.WAITING}").text
    assert "15 April 2024" in page and "days late)" in page
    assert "days late)" not in get(f"{full}/en/deliveries/dcir/2024-01/v1").text  # made up


def test_the_public_has_no_page_of_what_is_to_do(full: str) -> None:
    assert get(f"{full}/en/to-do").status_code == 404
    assert "to-do" not in get(f"{full}/en/").text


def test_a_hub_with_nothing_to_do_says_so(empty: str) -> None:
    assert get(f"{empty}/fr/to-do").text.count("<p>Rien.</p>") == 3
