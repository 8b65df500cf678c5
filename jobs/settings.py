"""The hub's configuration: one frozen object, the only reader of the environment (``HUB_*``)."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Where the hub lives and where its servers listen. Every field can be set as ``HUB_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="HUB_", frozen=True, extra="ignore")

    home: Path = CHECKOUT / ".hub"
    """Everything that the hub writes lies under this directory."""
    cache: Path = CHECKOUT / ".cache"
    """Downloaded jars and compiled Java classes: can be deleted at any time."""
    host: str = "127.0.0.1"
    spark_port: int = 15002
    airflow_port: int = 8080
    catalogue_port: int = 8000
    spark_memory: str = "2g"
    """Heap of the Spark server when it runs on this machine."""
    spark_remote: str | None = None
    """A cluster's Spark Connect server, ``sc://host:port/;use_ssl=true``, without its token, which is read from a file.
    Empty means the server on this machine."""
    spark_event_log: bool = False
    database_url: str | None = None
    """The hub's own database (not Airflow's); SQLite in the home directory by default. No password in it: name a
    ``passfile``, as in ``postgresql://hub@host/hub?passfile=/path``."""
    airflow_database_url: str | None = None
    """Airflow's own database; SQLite in the home directory by default. No password in it: name a ``passfile``."""
    airflow_url: str | None = None
    """Airflow's address as its own components reach it, where that is not ``host`` and ``airflow_port``."""
    airflow_public_url: str | None = None
    """Airflow's address as seen by a browser, where that is another one."""
    airflow_run: str | None = None
    """The Airflow run that a command works for, ``<dag>/<run>``: set by the task, kept with what it records."""
    public_url: str | None = None
    """The catalogue's address as seen by a browser."""

    @property
    def root(self) -> Path:
        """``home`` as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def keys(self) -> Path:
        """Keys by custody: ``hub/`` (Spark server only), ``workers/``, ``public/``, ``steward/``, ``contributors/``."""
        return self.root / "keys"

    @property
    def outboxes(self) -> Path:
        """What contributors put out: ``<source>/<period>/v<n>/`` with ``manifest.json`` written last."""
        return self.root / "outboxes"

    @property
    def landing(self) -> Path:
        """Received rows, sealed to the hub's public key: ``<source>/<period>/v<n>/<table>/*.parquet``."""
        return self.root / "landing"

    @property
    def quarantine(self) -> Path:
        """Refused rows and files, sealed to the stewards' public key."""
        return self.root / "quarantine"

    @property
    def lake(self) -> Path:
        """Delta tables: ``source/<source>/<table>``, ``omop/<table>``, ``staging/...``."""
        return self.root / "lake"

    @property
    def airflow(self) -> Path:
        return self.root / "airflow"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def run(self) -> Path:
        """Process ids of the servers that this hub started."""
        return self.root / "run"

    @property
    def database(self) -> str:
        """SQLAlchemy address of the hub database."""
        return self.database_url or f"sqlite:///{self.root / 'hub.db'}"

    @property
    def catalogue_address(self) -> str:
        """Address that a person opens in a browser."""
        return self.public_url or f"http://{self.host}:{self.catalogue_port}"
