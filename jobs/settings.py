"""The hub's configuration: one frozen object, the only reader of the environment (``HUB_*``) and of ``hub.toml``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from jobs.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parent.parent
FILE = "hub.toml"
NOT_IN_FILE = frozenset({"home", "airflow_run"})
"""Where the file lies, and what a task says for its own run: only the environment can."""


def places(code: Path, environment: Mapping[str, str]) -> tuple[Path, Path]:
    """Where a hub and its cache lie by default: in the checkout, or in the user's data folder when
    the package is installed."""
    if (code / "pyproject.toml").exists():
        return code / ".hub", code / ".cache"
    data = Path(environment.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "healthhub"
    return data / "home", data / "cache"


HOME, CACHE = places(CHECKOUT, os.environ)


class Settings(BaseSettings):
    """Where the hub lives and where its servers listen.

    Every field can be set as ``HUB_<FIELD>`` in the environment or, but for ``home``, as ``<field>`` in
    ``<home>/hub.toml``; the environment wins. Raises ``ConfigError`` for a value or a name that does not fit.
    """

    model_config = SettingsConfigDict(
        env_prefix="HUB_", frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    home: Path = HOME
    """Everything that the hub writes lies under this folder, and so does ``hub.toml``. Without a checkout: ``home`` in
    ``$XDG_DATA_HOME/healthhub`` (``~/.local/share/healthhub``)."""
    cache: Path = CACHE
    """Downloaded jars and compiled Java classes: can be deleted at any time. Without a checkout: ``cache``
    beside ``home``."""
    host: str = "127.0.0.1"
    """Address that the servers listen on. The Spark server decrypts: loopback or a private network only."""
    spark_port: int = 15002
    """Port of the Spark server."""
    airflow_port: int = 8080
    """Port of Airflow's pages and REST interface."""
    catalogue_port: int = 8000
    """Port of the catalogue's pages."""
    steward_host: str = "127.0.0.1"
    """Address that the stewards' pages listen on, whatever ``host`` is: they show exact counts and ask for no sign-in.
    Loopback or a private network only."""
    steward_port: int = 8001
    """Port of the stewards' pages."""
    spark_memory: str = "2g"
    """Heap of the Spark server when it runs on this machine."""
    spark_remote: str | None = Field(default=None, examples=["sc://spark.example.org:15002/;use_ssl=true"])
    """A cluster's Spark Connect server, without its token, which is read from a file; without it the hub runs one on
    this machine."""
    spark_event_log: bool = False
    """Whether the Spark server writes its event log under ``logs``, for those who study its plans."""
    database_url: str | None = Field(
        default=None, examples=["postgresql+psycopg://hub@db.example.org/hub?passfile=/etc/hub/pgpass"]
    )
    """SQLAlchemy address of the hub's own database (not Airflow's); without it ``hub.db``, SQLite, in the home. No
    password in it: name a ``passfile``."""
    airflow_database_url: str | None = Field(
        default=None, examples=["postgresql+psycopg://airflow@db.example.org/airflow?passfile=/etc/hub/pgpass"]
    )
    """SQLAlchemy address of Airflow's own database; without it SQLite, in the home. No password in it: name a
    ``passfile``."""
    airflow_url: str | None = Field(default=None, examples=["http://airflow:8080"])
    """Airflow's address as its own components reach it, where that is not ``http://host:airflow_port``."""
    airflow_public_url: str | None = Field(default=None, examples=["https://airflow.example.org"])
    """Airflow's address as seen by a browser, where that is another one."""
    outbox: dict[str, Path] = Field(default={}, examples=[{"ville": Path("/srv/ville/out")}])
    """Source -> folder, for sources that deliver to another folder than ``outboxes``; below it the same folders.

    An Airflow connection ``outbox_<source>`` of the type File (path) says the same to Airflow's tasks, and wins.
    """
    airflow_run: str | None = None
    """The Airflow run that a command works for, ``<dag>/<run>``: set by the task, kept with what it records."""
    public_url: str | None = Field(default=None, examples=["https://catalogue.example.org"])
    """The catalogue's address as seen by a browser, when it is another one than ``http://host:catalogue_port``."""
    steward_url: str | None = Field(default=None, examples=["https://stewards.example.org"])
    """The stewards' address as seen by a browser, when it is another one than ``http://steward_host:steward_port``."""

    alert_webhook: SecretStr | None = Field(default=None, examples=["https://chat.example.org/hooks/abc123"])
    """Address that alerts are posted to as JSON, with ``text`` for chats: Mattermost, Slack, or a program of your own.
    Whoever knows it may post: it is never shown."""
    alert_mail: tuple[str, ...] = Field(default=(), examples=[("stewards@example.org", "operators@example.org")])
    """Mail addresses that alerts are sent to; in the environment a JSON list."""
    alert_from: str = "healthhub@localhost"
    """Mail address that alerts come from."""
    smtp_host: str = "localhost"
    """Mail server that takes the alerts."""
    smtp_port: int = 25
    """Port of the mail server."""
    smtp_security: Literal["none", "starttls", "tls"] = "starttls"
    """How the way to the mail server is encrypted. ``none`` only to this machine or in a private network."""
    smtp_user: str | None = Field(default=None, examples=["healthhub"])
    """User of the mail server, when it asks for one."""
    smtp_password_file: Path | None = Field(default=None, examples=[Path("/etc/hub/smtp_password")])
    """File that holds the password of this user."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # never the value: an address may hold a password
            wrong = ", ".join(f"{'.'.join(map(str, e['loc']))} ({e['msg']})" for e in error.errors())
            raise ConfigError(
                f"A setting does not fit: {wrong}.", reason="bad_setting", next_step=f"correct it in HUB_* or in {FILE}"
            ) from None

    def __hash__(self) -> int:
        return hash(self.model_dump_json())  # a setting may be a mapping, and settings are keys of caches

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 there is no .env
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 keys are not settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What was given in code, then the environment, then the file of the home that these two name."""
        said = env_settings() | init_settings()
        home = Path(said.get("home") or settings_cls.model_fields["home"].default)
        in_file = InitSettingsSource(settings_cls, said_in(home.expanduser() / FILE))
        return init_settings, env_settings, in_file

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
        """What contributors deliver: ``<source>/<period>/v<n>/`` with ``manifest.json`` written last."""
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

    @property
    def steward_address(self) -> str:
        """Address of the stewards' pages, with exact counts, that a steward opens in a browser."""
        return self.steward_url or f"http://{self.steward_host}:{self.steward_port}"


def said_in(path: Path) -> dict[str, Any]:
    """The settings of a ``hub.toml``; none when it is not there. Raises ``ConfigError`` for one that does not fit."""
    try:
        said = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({type(error).__name__}).", reason="bad_setting", next_step="correct the file"
        ) from None
    if unknown := sorted(said.keys() - (Settings.model_fields.keys() - NOT_IN_FILE)):
        raise ConfigError(
            f"{path} names what is not a setting of the file: {', '.join(unknown)}.",
            reason="bad_setting",
            next_step="`hub init --show` prints those that are",
        )
    return said
