"""Settings: one TOML file, overridden by `TANDEM_...` environment variables.

Top-level keys of `tandem.toml` are the platform's (`TANDEM_HOME`); a table is one service's
(`[gateway] max_waiting = 64` is `TANDEM_GATEWAY_MAX_WAITING`). The file is the one named by `TANDEM_CONFIG`, else
`tandem.toml` in the current folder; it may be absent.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from retrieval.sources.port import Bounds
from training.config import ExampleSettings

PACKAGED_MODEL = "smollm2-135m-instruct"
LONGEST_SOCKET_FOLDER = 70  # a Unix socket's path may have 107 bytes; the longest name under the folder has 30


def read_toml(table: str | None) -> dict[str, Any]:
    """The settings file's top-level keys, or one of its tables; empty if there is no file."""
    path = Path(os.environ.get("TANDEM_CONFIG", "tandem.toml"))
    if not path.is_file():
        return {}
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    if table is None:
        return {key: value for key, value in content.items() if not isinstance(value, dict)}
    section = content.get(table, {})
    return section if isinstance(section, dict) else {}


class _TomlSettings(BaseSettings):
    """Reads arguments first, then the environment, then the file."""

    toml_table: ClassVar[str | None] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, InitSettingsSource(settings_cls, read_toml(cls.toml_table))


class ServiceSettings(_TomlSettings):
    """Base of one service's settings. A subclass names its table and environment prefix:

    class GatewaySettings(ServiceSettings):
        toml_table = "gateway"
        model_config = service_config("gateway")
    """


def service_config(table: str) -> SettingsConfigDict:
    return SettingsConfigDict(env_prefix=f"TANDEM_{table.upper()}_", extra="forbid", frozen=True)


class SourceSettings(ServiceSettings):
    """What sources may be and may cost: `[sources]`. Gateway and workers must have the same values."""

    toml_table = "sources"
    model_config = service_config("sources")

    folders: list[str] = Field(default_factory=list)
    bucket_schemes: list[str] = Field(default_factory=lambda: ["s3", "gs", "gcs", "az", "abfs"])
    private_hosts: list[str] = Field(default_factory=list)
    max_documents: int = Field(default=100_000, ge=1)
    max_file_bytes: int = Field(default=Bounds.max_file_bytes, ge=1)
    max_removed_share: float = Field(default=0.5, ge=0.0, le=1.0)
    request_timeout: float = Field(default=Bounds.request_seconds, gt=0)
    deadline: float = Field(default=6 * 3600.0, gt=0)


class DataSetSettings(ServiceSettings):
    """What may be trained on: `[data_sets]`. Gateway and workers must have the same values.

    Each key means what it does in `training.config.ExampleSettings`, which has the defaults too.
    """

    toml_table = "data_sets"
    model_config = service_config("data_sets")

    min_examples: int = Field(default=ExampleSettings.min_examples, ge=1)
    share_held_out: float = Field(default=ExampleSettings.share_held_out, ge=0.0, le=0.5)
    max_held_out: int = Field(default=ExampleSettings.max_held_out, ge=1, le=1000)
    max_validation: int = Field(default=ExampleSettings.max_validation, ge=1, le=100_000)
    max_overlap: float = Field(default=ExampleSettings.max_overlap, ge=0.0, le=1.0)
    max_contradictory: float = Field(default=ExampleSettings.max_contradictory, ge=0.0, le=1.0)
    near_duplicate: float = Field(default=ExampleSettings.near_duplicate, ge=0.3, le=1.0)

    def examples(self) -> ExampleSettings:
        return ExampleSettings(**self.model_dump())


class Platform(_TomlSettings):
    """Where the parts of one platform find each other. Every process of a platform has the same values.

    Addresses are `http://host:port`, or `unix:/path/to.sock` for a service on this machine.
    """

    model_config = SettingsConfigDict(env_prefix="TANDEM_", extra="ignore", frozen=True)

    home: Path = Path(".tandem")
    database_url: str = ""
    files_url: str = ""
    broker_url: str = ""
    retrieval_url: str = ""
    generation_url: str = ""
    gateway_url: str = "http://127.0.0.1:8000"
    dashboard_url: str = "http://127.0.0.1:8001"
    listen_host: str = ""
    """The host that services listen on where it is not the one in their address: `0.0.0.0` in a container."""
    service_token: str = ""
    base_model: str = PACKAGED_MODEL
    embedding_model: str = "all-minilm-l6-v2"
    embedding_runtime: Literal["openvino", "torch"] = "openvino"
    """What runs the embedder; a model that OpenVINO cannot run is run by torch."""
    top_k: int = 3
    """Passages in a prompt, when serving and when training alike."""
    min_answerability: float = 0.01
    """Below this guess from retrieval's scores, in 0..1, the server says that the documents do not answer; 0 turns it
    off. Training leaves out the prompts that the model would never see. At 0.01 a question is refused that shares
    neither words nor meaning with any passage: none of 1,552 that were answered, see docs/experiments.md."""
    guard: Literal["auto", "off", "first_sentence"] = "auto"
    """`first_sentence` holds an answer's first sentence back until the check has read it, and says that the documents
    do not answer where no passage supports it; `auto` does so for the packaged model alone. The gate does the same."""
    max_answer_tokens: int = Field(default=512, ge=1)
    """Longest answer where the request does not say, in tokens; a candidate's answers are cut there too."""

    def model_post_init(self, _context: Any) -> None:
        fill = {
            "home": self.home.expanduser().resolve(),
            "database_url": self.database_url or f"sqlite:///{self.home.expanduser().resolve()}/tandem.db",
            "files_url": self.files_url or f"file://{self.home.expanduser().resolve()}/files",
        }
        for name, value in fill.items():
            object.__setattr__(self, name, value)
        defaults = {
            "retrieval_url": f"unix:{self.run_folder}/retrieval.sock",
            "generation_url": f"unix:{self.run_folder}/generation.sock",
            "service_token": self._secret("service_token"),
        }
        for name, value in defaults.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        if not self.broker_url:
            password = self._secret("broker_password")
            url = f"redis+socket://:{password}@{self.run_folder}/broker.sock"
            object.__setattr__(self, "broker_url", url)

    @property
    def guarded(self) -> bool:
        """Whether an answer's first sentence is checked before it is sent."""
        return self.guard == "first_sentence" or (self.guard == "auto" and self.base_model == PACKAGED_MODEL)

    @property
    def run_folder(self) -> Path:
        """Folder of sockets and process ids: inside home, or in the temporary folder where that path is too long."""
        inside = self.home / "run"
        if len(str(inside)) <= LONGEST_SOCKET_FOLDER:
            return inside
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"tandem-{os.getuid()}-{digest}"

    @property
    def log_folder(self) -> Path:
        return self.home / "logs"

    @property
    def models_folder(self) -> Path:
        """Base weights made ready for serving and training, one folder a model."""
        return self.home / "models"

    @property
    def converted_folder(self) -> Path:
        """Embedders converted for OpenVINO, one folder each; made again where it is gone."""
        return self.home / "converted"

    @property
    def index_folder(self) -> Path:
        """Collections of the embedded index: `<workspace>/<store>/<collection>`."""
        return self.home / "index"

    @property
    def versions_folder(self) -> Path:
        """Published and candidate weights: `<workspace>/<version>`; immutable once written."""
        return self.home / "versions"

    @property
    def embedders_folder(self) -> Path:
        """Tuned weights of the embedder: `<workspace>/<embedder>`; immutable once written."""
        return self.home / "embedders"

    @property
    def runs_folder(self) -> Path:
        """Work folders of unfinished trainings, with their checkpoints: `<job>`."""
        return self.home / "runs"

    @property
    def secrets_folder(self) -> Path:
        return self.home / "secrets"

    @property
    def broker_folder(self) -> Path:
        """What the platform's own broker keeps."""
        return self.home / "broker"

    @property
    def beat_folder(self) -> Path:
        """Beat's schedule."""
        return self.home / "beat"

    @property
    def dashboard_folder(self) -> Path:
        """The pages' storage. They keep sessions in memory, so nothing is written there so far."""
        return self.home / "dashboard"

    def _secret(self, name: str) -> str:
        path = self.secrets_folder / name
        return path.read_text().strip() if path.is_file() else ""
