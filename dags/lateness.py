"""Tells when deliveries are late: the Airflow DAG `lateness`."""

from __future__ import annotations

from dags.lib.defaults import Tag, hub_dag
from dags.lib.operators import JobOperator

DOC = """Looks every morning which months are due and have not come, and sends one alert for those that became late.

**Makes** nothing in the lake. The page *To do* of the stewards lists what is late at any time.

**Input** the contracts (`[due]` in `source.toml`: days after the end of the month) and the hub's records of deliveries.
A month is late when the lake holds nothing of it after its due day and nothing of it is under way. Made-up deliveries
are never late. Alerts go where `alert_webhook` and `alert_mail` of the settings say; without them the log says so.

**When red** the webhook or the mail server did not answer, or the hub database; it was tried again. `hub alert test`
tries the channels; clear the task then.

**Not to use** for asking a contributor: the hub writes to its own people only.

**Owner** data-engineering
"""
SINCE = "--since={{ (prev_start_date_success | ds) if prev_start_date_success else '1970-01-01' }}"

with hub_dag("lateness", doc=DOC, tags=[Tag.ARRIVAL], schedule="0 6 * * *", max_active_runs=1):
    JobOperator(task_id="alert", argv=["alert", "late", SINCE])
