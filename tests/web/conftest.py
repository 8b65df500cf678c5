"""A catalogue on a free port over a filled hub database and over an empty one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine

from catalogue import db
from catalogue.web.app import create_app
from tests.conftest import free_port
from tests.web import seed


@contextmanager
def serving(app: FastAPI, port: int) -> Iterator[str]:
    """The address of an application while it is served."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(200):
        if server.started:
            break
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def airflow_port() -> int:
    """A port whose origin may show the quality pages in a frame."""
    return free_port()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The database of a hub that ran for three months."""
    engine = db.open_engine(f"sqlite:///{tmp_path_factory.mktemp('full') / 'hub.db'}")
    db.migrate(engine)
    seed.fill(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def full(engine: Engine) -> Iterator[str]:
    """Address of its public catalogue."""
    with serving(create_app(engine), free_port()) as at:
        yield at


@pytest.fixture(scope="session")
def stewards(engine: Engine, airflow_port: int) -> Iterator[str]:
    """Address of its stewards' pages."""
    origins = (f"http://127.0.0.1:{airflow_port}",)
    with serving(create_app(engine, exact=True, airflow_origins=origins, hosts=["127.0.0.1"]), free_port()) as at:
        yield at


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the stewards' pages of a hub that received nothing yet."""
    engine = db.open_engine(f"sqlite:///{tmp_path_factory.mktemp('empty') / 'hub.db'}")
    db.migrate(engine)
    with serving(create_app(engine, exact=True), free_port()) as at:
        yield at
    engine.dispose()
