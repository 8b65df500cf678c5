"""Everything that needs Great Expectations at import (8 s, 290 MB): import this module inside functions only.

Great Expectations sees counts, one row per rule, so no cell value can reach its results, logs or pages.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Optional, Tuple  # noqa: UP035 - pydantic v1 reads the annotations

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import pandas as pd
from great_expectations.compatibility import pydantic
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render.components import (
    LegacyRendererType,
    RenderedStringTemplateContent,
)
from great_expectations.render.renderer.renderer import renderer

from jobs.quality.rule import Rule

Lang = Literal["fr", "en"]

TEMPLATE: Mapping[Lang, str] = {
    "fr": "$rule [$severity] $claim ; au plus $limit en défaut",
    "en": "$rule [$severity] $claim; at most $limit violated",
}


class RuleCounts(TableMetricProvider):
    """{rule id: (violated, denominator)} of a frame of counts; repeated ids are refused."""

    metric_name = "hub_rule.counts"

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],  # noqa: ARG002
        metrics: dict[str, Any],  # noqa: ARG002
        runtime_configuration: dict[str, Any],  # noqa: ARG002
    ) -> dict[str, tuple[int, int]]:
        frame, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
        if frame["rule"].duplicated().any():
            raise ValueError("a rule is counted twice")
        columns = zip(frame["rule"], frame["violated"], frame["denominator"], strict=True)
        return {str(rule): (violated, denominator) for rule, violated, denominator in columns}


class ExpectRuleViolationsToBeAtMost(BatchExpectation):
    """Expect a rule, counted while the table was written, to be violated at most so often."""

    rule: str
    claim: str
    template: str
    column: str = "_table"
    max_rate: float = pydantic.Field(0.0, ge=0, le=1)
    max_count: Optional[int] = None  # noqa: UP045
    metric_dependencies: ClassVar[Tuple[str, ...]] = ("hub_rule.counts",)  # noqa: UP006
    success_keys: ClassVar[Tuple[str, ...]] = ("rule", "max_rate", "max_count")  # noqa: UP006

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: Any = None,  # noqa: ARG002
        execution_engine: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        violated, denominator = metrics["hub_rule.counts"][self.rule]
        if not 0 <= violated <= denominator:
            raise ValueError("impossible counts")
        rate = violated / denominator if denominator else 0.0
        within = rate <= self.max_rate and (self.max_count is None or violated <= self.max_count)
        return {
            "success": within,
            "result": {
                "observed_value": f"{violated} / {denominator} ({rate:.4%})",
                "element_count": denominator,
                "unexpected_count": violated,
                "unexpected_percent": rate * 100,
                "details": {"not_applicable": denominator == 0},
            },
        }

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls,
        configuration: Any = None,
        result: Any = None,
        runtime_configuration: Any = None,  # noqa: ARG003
    ) -> list[RenderedStringTemplateContent]:
        """Our sentence in Data Docs. The method must have this very name, else the parent's shows raw arguments."""
        config = configuration or result.expectation_config
        cap = config.kwargs.get("max_count")
        limit = f"{config.kwargs.get('max_rate', 0.0):.2%}" + ("" if cap is None else f" / {cap}")
        severity = str(getattr(config.severity, "value", config.severity))
        words = {"rule": config.kwargs["rule"], "claim": config.kwargs["claim"], "severity": severity, "limit": limit}
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template",
                string_template={"template": config.kwargs["template"], "params": words},
            )
        ]


def context() -> EphemeralDataContext:
    """A context that leaves nothing on disk and writes no progress bar."""
    made = gx.get_context(mode="ephemeral")
    made.variables.progress_bars = ProgressBarsConfig(globally=False)
    return made


def definition(
    made: EphemeralDataContext, name: str, rules: Sequence[Rule], lang: Lang = "en"
) -> gx.ValidationDefinition:
    """The suite of one table over a frame of counts, registered in the context under the table's name (dot for slash:
    names become paths in Data Docs)."""
    name = name.replace("/", ".")
    source = made.data_sources.add_pandas(f"counts of {name}")
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("run")
    expectations = [
        ExpectRuleViolationsToBeAtMost(
            rule=rule.id,
            claim=rule.claim(lang),
            template=TEMPLATE[lang],
            column=rule.column or "_table",
            max_rate=rule.allowed_rate,
            max_count=rule.max_count,
            severity=FailureSeverity(rule.severity),
            meta={**rule.meta, "table": rule.table},
        )
        for rule in rules
    ]
    suite = made.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    return made.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))


def frame(counts: Mapping[str, tuple[int, int]]) -> pd.DataFrame:
    """One row per rule: its id and its two numbers."""
    rows = [{"rule": rule, "violated": v, "denominator": d} for rule, (v, d) in counts.items()]
    return pd.DataFrame(rows, columns=["rule", "violated", "denominator"], dtype=object)
