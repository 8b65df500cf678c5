"""Views of the catalogue in Airflow's pages: a run's quality report and what is to do on the stewards' address, and
the public catalogue."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from jobs.settings import Settings

SETTINGS = Settings()


class HubViews(AirflowPlugin):
    """A tab "Quality report" on every run, links "To do" and "Catalogue" in the menu."""

    name = "hub_views"
    external_views: ClassVar[list[dict[str, Any]]] = [  # type: ignore[misc]
        {
            "name": "Quality report",
            "destination": "dag_run",
            "url_route": "quality-report",
            "href": f"{SETTINGS.steward_address}/airflow/quality?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        },
        {"name": "To do", "destination": "nav", "category": "browse", "href": f"{SETTINGS.steward_address}/en/to-do"},
        {"name": "Catalogue", "destination": "nav", "category": "browse", "href": SETTINGS.catalogue_address},
    ]
