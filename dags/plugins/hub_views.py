"""Two views of the catalogue in Airflow's pages: a run's quality report, and the catalogue itself."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from jobs.settings import Settings

CATALOGUE = Settings().catalogue_address


class HubViews(AirflowPlugin):
    """A tab "Quality report" on every run, a link "Catalogue" in the menu."""

    name = "hub_views"
    external_views: ClassVar[list[dict[str, Any]]] = [  # type: ignore[misc]
        {
            "name": "Quality report",
            "destination": "dag_run",
            "url_route": "quality-report",
            "href": f"{CATALOGUE}/airflow/quality?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        },
        {"name": "Catalogue", "destination": "nav", "category": "browse", "href": CATALOGUE},
    ]
