"""Makes or upgrades Airflow's database and its pools in one process: each ``airflow`` command costs 5 s of imports."""

from __future__ import annotations

from airflow import settings
from airflow.models.pool import Pool
from airflow.utils.db import upgradedb
from airflow.utils.session import create_session

from dags.lib.assets import POOLS


def main() -> None:
    """Runs in Airflow's environment (``jobs.serve.airflow.environment``)."""

    settings.initialize()  # type: ignore[no-untyped-call]
    upgradedb()
    with create_session() as session:
        for name, description in POOLS.items():
            Pool.create_or_update_pool(name, 1, description, False, session=session)


if __name__ == "__main__":
    main()
