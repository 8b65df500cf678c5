"""What every DAG of the hub keeps to: owner, tags, retries, time limits, the form of a month."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param

from dags.lib.alerts import ON_FAILURE
from dags.lib.failures import POLICY
from jobs.delivery import PERIOD

if TYPE_CHECKING:
    from airflow.sdk.execution_time.hitl import HITLUser

OWNER = "data-engineering"
STEWARDS: list[HITLUser] = [{"id": "steward", "name": "steward"}]
"""Airflow users who may answer a gate's question."""
MONTH = f"^{PERIOD}$"
DELIVERY = f"^[a-z][a-z0-9_]*/{PERIOD}/v[1-9][0-9]*$"

AGAIN = "{{ '--again' if params.again else '--no-again' }}"
"""The form's switch as a command's option."""

RETRIES = 3
TIME_LIMIT = timedelta(hours=2)
ANSWER_WITHIN = timedelta(days=14)


class Tag(StrEnum):
    """The closed list of tags: by them an operator filters the list of DAGs."""

    ARRIVAL = "arrival"
    INGEST = "ingest"
    BUILD = "build"
    STEWARD = "asks-a-steward"
    WITHDRAW = "withdrawal"
    MAINTENANCE = "maintenance"


class Priority:
    """Waiting tasks by weight: what is under way ends before more is begun, and a build waits for the burst's end."""

    BUILD, PULL, STAGE, GATE, PUBLISH, ANNOUNCE = 1, 10, 20, 30, 40, 90


def hub_dag(dag_id: str, *, schedule: Any, doc: str, tags: list[Tag], **settings: Any) -> DAG:
    """A DAG with the house's defaults; ``doc`` is shown on its page, its first line in the list."""
    return DAG(
        dag_id=dag_id,
        schedule=schedule,
        description=doc.strip().splitlines()[0],
        doc_md=doc,
        tags=[t.value for t in tags],
        catchup=False,
        default_args={
            "owner": OWNER,
            "retries": RETRIES,
            "retry_delay": timedelta(seconds=30),
            "retry_policy": POLICY,
            "execution_timeout": TIME_LIMIT,
            "weight_rule": "absolute",
            "on_failure_callback": ON_FAILURE,
        },
        **settings,
    )


def month_param() -> Param:
    """The form's field for a month, for runs that a person starts without a partition key."""
    return Param(
        None,
        type=["null", "string"],
        pattern=MONTH,
        title="Month",
        description_md="`YYYY-MM`. Empty only when you give a partition key, under *Advanced Options*.",
    )


def delivery_param() -> Param:
    """The form's required field for the name of a delivery."""
    return Param(
        type="string",
        pattern=DELIVERY,
        title="Delivery",
        description_md="`<source>/<YYYY-MM>/v<n>`, as `hub delivery list` and the catalogue name it.",
    )


def reason_param() -> Param:
    """The form's required field for a reason."""
    return Param(type="string", pattern="[^ ]", title="Reason", description_md="Why; never a person's data.")


def again_param(what: str) -> Param:
    """The form's switch for doing again what is finished; ``what`` says it in a sentence."""
    return Param(False, type="boolean", title="Again", description_md=what)
