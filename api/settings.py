"""What can be configured, each by one environment variable of the field's name in capitals."""

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.limits import Limits

LOG_SCHEMES = ("sqlite", "cassandra")
DOCUMENT_SCHEMES = ("sqlite", "mongodb", "mongodb+srv")

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
"""As a browser sends it (RFC 6454, 6.2)."""


class SettingsError(Exception):
    """A variable has a value that cannot be used. The text names each such variable, never a secret's value."""


class Settings(BaseSettings):
    """Immutable. Times are seconds unless the name says otherwise, sizes bytes."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    port: int = Field(8000, ge=0, le=65535, description="Port that the API listens on; 0 takes a free one.")
    host: str = Field("127.0.0.1", min_length=1, description="Address that the API listens on.")
    data_dir: Path = Field(
        Path("data"), description="Directory of the embedded stores and of the secrets made for them."
    )
    log_url: str = Field(
        "",
        description="The event log: sqlite:///path or cassandra://host:port[,host:port]/keyspace. Default: a file in DATA_DIR.",
    )
    documents_url: str = Field(
        "", description="The documents: sqlite:///path or mongodb://host:port/database. Default: a file in DATA_DIR."
    )
    master_key: SecretStr | None = Field(
        None,
        description="Wraps the keys of people's data: 32 bytes in base64 or hex; retired ones may follow, after commas (`tidings secrets rotate-master`). Made in DATA_DIR when embedded.",
    )
    server_key: SecretStr | None = Field(
        None, description="Names claims and idempotent ids; fixed for a log's life. As MASTER_KEY."
    )
    token_keys: SecretStr | None = Field(
        None,
        description="Sign tokens and cursors: keys as MASTER_KEY, separated by commas; the first signs, all verify.",
    )
    workers_in_process: bool | None = Field(
        None, description="Whether `tidings serve` also runs folds and reactors. Default: yes when embedded."
    )
    shards: int = Field(8, ge=1, le=1024, description="Shards of the log; fixed when it is made.")
    replication_factor: int = Field(
        1, ge=1, le=9, description="Copies that `tidings migrate` has Cassandra keep; 3 where no event may be lost."
    )

    internal_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port on which `tidings serve` takes commands from other processes of the same log, so that each shard has one appender; 0 takes a free one. Default: none does. Without effect on SQLite.",
    )
    internal_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of INTERNAL_PORT, by which the others reach this process; 0.0.0.0 stands for the machine's own name. Let no client reach it.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log lines that are written."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Form of log lines; auto: text on a terminal, else JSON."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins (https://example.org, comma separated, or *) whose pages may use the API from a browser; the API's own always may.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1", description="Addresses (comma separated, or *) whose X-Forwarded-* headers are believed."
    )
    playground: bool = Field(True, description="Whether GraphiQL is served at /graphql to a browser.")
    introspection: bool = Field(True, description="Whether the schema may be asked for.")
    metrics: bool = Field(True, description="Whether /metrics is served.")
    shutdown_timeout: int = Field(20, ge=0, le=600, description="How long requests in flight may take at shutdown.")

    access_token_life: int = Field(600, ge=10, le=86_400, description="Life of an access token.")
    password_time_cost: int = Field(2, ge=1, le=10, description="Passes of argon2id.")
    password_memory_kib: int = Field(
        19_456,
        ge=8,
        le=1_048_576,
        description="Memory of one argon2id hash in KiB (OWASP's least: 19 MiB with 2 passes).",
    )
    password_workers: int = Field(2, ge=1, le=64, description="Password hashes worked on at a time.")

    operation_timeout: float = Field(10.0, gt=0, le=300, description="How long a query or mutation may take.")
    body_limit: int = Field(
        256 * 1024, ge=1024, le=16 * 1024 * 1024, description="Largest request body and WebSocket message."
    )
    max_depth: int = Field(12, ge=1, le=100, description="Deepest nesting of fields.")
    max_aliases: int = Field(30, ge=0, le=1_000, description="Aliases in an operation.")
    max_tokens: int = Field(2_000, ge=10, le=100_000, description="Tokens in a document.")
    max_directives: int = Field(50, ge=0, le=1_000, description="Directives in an operation.")
    max_nodes: int = Field(
        10_000, ge=1, le=1_000_000, description="Nodes that an operation may ask for, by its page sizes."
    )
    cost_per_hour: int = Field(
        5_000, ge=0, description="Points an account, or a guest's network, may spend in an hour; 0: no limit."
    )
    sign_ins_per_5_minutes: int = Field(
        30, ge=0, description="Sign-ins and registrations tried from one network in 5 minutes; 0: no limit."
    )
    limits: Annotated[dict[str, Annotated[int, Field(ge=0)]], NoDecode] = Field(
        {}, description='Limits of texts and names by name, as JSON: {"text_graphemes": 500}.'
    )
    max_sockets: int = Field(10_000, ge=1, description="WebSocket connections of one process.")
    max_subscriptions: int = Field(100, ge=1, le=10_000, description="Operations running at a time on one WebSocket.")
    max_requests: int = Field(
        1_000, ge=1, description="HTTP requests in work at a time in one process; more are answered 503."
    )

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [origin for origin in value if origin != "*" and not _ORIGIN.fullmatch(origin)]
        if wrong:
            raise ValueError(
                f"an origin is a scheme, a host and perhaps a port, as https://example.org; not {wrong[0]}"
            )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for address in (part.strip() for part in value.split(",")):
            if address not in ("", "*"):
                ip_network(address)
        return value

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("log_url")
    @classmethod
    def _log_scheme(cls, value: str) -> str:
        return _known_scheme(value, LOG_SCHEMES)

    @field_validator("documents_url")
    @classmethod
    def _document_scheme(cls, value: str) -> str:
        return _known_scheme(value, DOCUMENT_SCHEMES)

    @field_validator("limits", mode="before")
    @classmethod
    def _read_json(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"is no JSON ({error})") from None

    @field_validator("limits")
    @classmethod
    def _known_limits(cls, value: dict[str, int]) -> dict[str, int]:
        unknown = value.keys() - set(Limits.__struct_fields__)
        if unknown:
            raise ValueError(
                f"unknown limits {', '.join(sorted(unknown))}; there are {', '.join(Limits.__struct_fields__)}"
            )
        return value

    @property
    def domain_limits(self) -> Limits:
        return Limits(**self.limits)

    @property
    def log_address(self) -> str:
        return self.log_url or f"sqlite:///{self.data_dir / 'log.db'}"

    @property
    def documents_address(self) -> str:
        return self.documents_url or f"sqlite:///{self.data_dir / 'documents.db'}"

    @property
    def command_patience(self) -> float:
        """How long a command may wait in the log. It ends before the operation that asked for it: the client is to hear UNKNOWN and the command's id,
        not only that time has run out."""
        return self.operation_timeout * 0.8

    @property
    def answer_patience(self) -> float:
        """How long another process may take over a command: longer than its log, shorter than the operation."""
        return self.operation_timeout * 0.9

    @property
    def embedded(self) -> bool:
        """Whether both stores are files of this machine."""
        return self.log_address.startswith("sqlite:") and self.documents_address.startswith("sqlite:")

    @property
    def runs_workers(self) -> bool:
        return self.embedded if self.workers_in_process is None else self.workers_in_process


def _known_scheme(value: str, schemes: tuple[str, ...]) -> str:
    if value and urlsplit(value).scheme not in schemes:
        raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    # A connection of its own to ":memory:" is an empty file of its own.
    if value.startswith("sqlite:") and value.removeprefix("sqlite:///") in ("", ":memory:", value):
        raise ValueError("must look like sqlite:///path, or sqlite:////path from the root; the path is that of a file")
    return value


def sqlite_path(address: str) -> Path:
    """The file that a ``sqlite:///path`` address names; ``sqlite:////path`` is absolute."""
    return Path(address.removeprefix("sqlite:///"))


def without_password(address: str) -> str:
    """An address as it may be shown: without user and password."""
    scheme, separator, rest = address.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, or SettingsError. ``overrides`` are fields given on the command line or by a test."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


def _explain(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0]) if problem["loc"] else "settings"
    return f"{name.upper()}: {problem['msg'].removeprefix('Value error, ')}"
