"""How the Spark server is: asked by calls that end, for a hung server keeps its port and answers nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from jobs.settings import Settings
from jobs.spark import server, session

if TYPE_CHECKING:
    from pyspark.sql.connect.proto.base_pb2_grpc import SparkConnectServiceStub

State = Literal["stopped", "starting", "ready", "busy", "hung"]
SPEAKS, WORKS = 20.0, 30.0
"""Seconds in which a server that lives says its version, and does a job of one row unless others are before it."""

SILENT = ("DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED")
"""Statuses of a call that nobody answered."""


def state(settings: Settings) -> State:
    """``ready``: it did a small job; ``busy``: it answers, its cores are taken; ``hung``: it listens, says nothing."""
    if not server.ready(settings):
        return "starting" if server.running(settings) else "stopped"
    if not speaks(settings):
        return "hung" if server.ready(settings) else "stopped"
    return "ready" if works(settings) else "busy"


def speaks(settings: Settings, seconds: float = SPEAKS) -> bool:
    """Whether the server says its version in time: needs none of its cores. Raises ``KeyRefused`` without a token."""

    def ask(stub: SparkConnectServiceStub, who: dict[str, Any]) -> None:
        from pyspark.sql.connect.proto import AnalyzePlanRequest

        question = AnalyzePlanRequest.SparkVersion()
        stub.AnalyzePlan(AnalyzePlanRequest(**who, spark_version=question), timeout=seconds)

    return _failure(settings, ask) not in SILENT  # a refusal, of the token for one, is an answer too


def works(settings: Settings, seconds: float = WORKS) -> bool:
    """Whether the server does a job of one row in time."""

    def ask(stub: SparkConnectServiceStub, who: dict[str, Any]) -> None:
        from pyspark.sql.connect.proto import ExecutePlanRequest, Plan, Range, Relation

        rows = Relation(range=Range(start=0, end=1, step=1, num_partitions=1))
        for _ in stub.ExecutePlan(ExecutePlanRequest(**who, plan=Plan(root=rows)), timeout=seconds):
            pass

    return _failure(settings, ask) is None


def _failure(settings: Settings, ask: Callable[[SparkConnectServiceStub, dict[str, Any]], None]) -> str | None:
    """The name of the status with which a call failed, None when it did not."""
    import grpc
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.proto import ReleaseSessionRequest, UserContext
    from pyspark.sql.connect.proto.base_pb2_grpc import SparkConnectServiceStub

    who: dict[str, Any] = {"session_id": str(uuid.uuid4()), "user_context": UserContext(user_id="health")}
    with DefaultChannelBuilder(session.address(settings)).toChannel() as channel:
        stub = SparkConnectServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            ask(stub, who)
            stub.ReleaseSession(ReleaseSessionRequest(**who), timeout=SPEAKS)
        except grpc.RpcError as error:
            return str(error.code().name)
    return None
