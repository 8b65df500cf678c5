"""A gate's question to a data steward, and the task that records the answer and obeys it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param

from dags.lib.alerts import ON_QUESTION
from dags.lib.defaults import ANSWER_WITHIN, STEWARDS, Priority
from dags.lib.gates import GateOperator
from jobs.errors import ConfigError

APPROVE, REJECT = "Approve", "Reject"
BODY = """{% set gate = ti.xcom_pull(task_ids='gate') -%}
{{ gate.rules }} rules were judged. Nothing critical failed.
Above their limits: **{{ gate.failed.warning }} that warn**,
{{ gate.failed.info }} that only inform:

{% for rule in gate.failed_rules -%}
- {{ rule }}
{% endfor %}
[Quality report]({{ gate.report }}){% if gate.get('books') %} · [Books and quarantine]({{ gate.books }}){% endif %}


"""
CHOICE = (
    "**Approve** publishes {what} as it is. **Reject** leaves the lake unchanged. Your reason is kept with your name."
    "\n\nWho may answer: {who}, and no other user."
)


def ask(subject: str, what: str) -> HITLOperator:
    """The question of one gate, its counts in the text. No worker waits with it."""
    return HITLOperator(
        task_id="ask_steward",
        options=[APPROVE, REJECT],
        subject=subject,
        body=BODY + CHOICE.format(what=what, who=", ".join(str(s["name"]) for s in STEWARDS)),
        params={"reason": Param("", type="string", title="Reason", description_md="Why; never a person's data.")},
        assigned_users=STEWARDS,
        notifiers=[ON_QUESTION],
        response_timeout=ANSWER_WITHIN,
        execution_timeout=timedelta(minutes=5),
        retries=0,
        priority_weight=Priority.GATE,
    )


def arguments(answer: Mapping[str, Any]) -> list[str]:
    """The options of ``decide`` for an answer. Raises ``ConfigError`` when it gives no reason.

    The form asks for a reason, Airflow's REST interface accepts none.
    """
    reason = str((answer.get("params_input") or {}).get("reason") or "").strip()
    if not reason:
        raise ConfigError("The answer gives no reason.", next_step="clear ask_steward, it will be asked again")
    decision = "approve" if list(answer["chosen_options"]) == [APPROVE] else "reject"
    who = answer["responded_by_user"]
    # one argument each: a reason that begins with a dash is not an option
    return [f"--decision={decision}", f"--who={who.get('name') or who['id']}", f"--reason={reason}"]


class DecideOperator(GateOperator):
    """Records the steward's answer with ``hub <noun> decide <subject>``, then obeys it: ``approved`` or nothing."""

    def __init__(self, *, noun: str, subject: str, approved: str, **kwargs: Any) -> None:
        super().__init__(
            argv=[noun, "decide", subject], by="decision", to={"approve": approved, "reject": None}, **kwargs
        )

    def work(self, context: Context) -> Any:
        options = arguments(context["ti"].xcom_pull(task_ids="ask_steward"))
        self.argv = [*self.argv, *options]
        result = self.run_command(context)
        # what was answered decides, whatever the command said about it
        self.do_branch(context, self.choose({"decision": options[0].removeprefix("--decision=")}))
        return result
