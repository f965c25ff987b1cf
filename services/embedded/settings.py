"""The embedded stack's knobs: where files are kept, how much memory and time each part gets."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the `services` package: a checkout, or site-packages of an installation."""

DEPLOY = PROJECT_ROOT / "deploy" / "embedded"
"""The jar lock, the Java sources and the servers' configuration templates."""


class EmbeddedSettings(BaseSettings):
    """Every setting of the embedded stack; each is an environment variable of the name given as alias."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    cache_dir: Path | None = Field(
        None,
        alias="NEWSFLOW_CACHE_DIR",
        description="Folder of the fetched jars and compiled Java; shared by all checkouts of a user.",
    )
    xdg_cache_home: Path | None = Field(
        None,
        alias="XDG_CACHE_HOME",
        description="The desktop convention's cache folder; used if the above is unset.",
    )
    run_dir: Path | None = Field(
        None,
        alias="NEWSFLOW_RUN_DIR",
        description="Folder of this stack's data, logs and run file. Default: .newsflow in the project.",
    )
    maven_url: str = Field(
        "https://repo1.maven.org/maven2",
        alias="NEWSFLOW_MAVEN_URL",
        description="Base address of the Maven repository or mirror that the jars are fetched from.",
    )

    download_threads: int = Field(
        8,
        ge=1,
        alias="EMBEDDED_DOWNLOAD_THREADS",
        description="Jars fetched at once: most are small, so waiting for answers dominates.",
    )
    download_attempts: int = Field(
        6,
        ge=1,
        alias="EMBEDDED_DOWNLOAD_ATTEMPTS",
        description="Tries per jar before giving up (about 30 s of back-off).",
    )
    download_timeout_s: float = Field(
        30.0,
        gt=0,
        alias="EMBEDDED_DOWNLOAD_TIMEOUT_S",
        description="Seconds without a byte before a try is given up.",
    )

    kafka_heap_mb: int = Field(
        512,
        ge=256,
        alias="EMBEDDED_KAFKA_HEAP_MB",
        description="MiB of Kafka's Java heap; enough for one broker's laptop load.",
    )
    elasticsearch_heap_mb: int = Field(
        1024, ge=512, alias="EMBEDDED_ELASTICSEARCH_HEAP_MB", description="MiB of Elasticsearch's Java heap."
    )
    full_compiler: bool = Field(
        False,
        alias="EMBEDDED_FULL_COMPILER",
        description="Let Java also use its second, slower compiler. Without it Elasticsearch's start, 15,000 "
        "documents and 300 searches took 14 s of CPU instead of 21 s at the same rate, and Kafka's start and "
        "60,000 records 6 s instead of 11 s, measured on two cores. It pays over hours of full load.",
    )
    disk_low_mb: int = Field(
        1024,
        ge=1,
        alias="EMBEDDED_DISK_LOW_MB",
        description="MiB free below which Elasticsearch places no new shards.",
    )
    disk_high_mb: int = Field(
        500,
        ge=1,
        alias="EMBEDDED_DISK_HIGH_MB",
        description="MiB free below which Elasticsearch moves shards away.",
    )
    disk_flood_mb: int = Field(
        250,
        ge=1,
        alias="EMBEDDED_DISK_FLOOD_MB",
        description="MiB free below which indices turn read-only. Absolute: a 95 % full laptop disk is normal.",
    )

    disk_needed_mb: int = Field(
        3072,
        ge=1,
        alias="EMBEDDED_DISK_NEEDED_MB",
        description="MiB that should be free: 300 for jars and Java, room for data, and EMBEDDED_DISK_LOW_MB.",
    )
    memory_needed_mb: int = Field(
        4096,
        ge=1,
        alias="EMBEDDED_MEMORY_NEEDED_MB",
        description="MiB that should be available: both heaps, 0.5 GiB around them, and the services' models.",
    )
    start_timeout_s: float = Field(
        90.0,
        gt=0,
        alias="EMBEDDED_START_TIMEOUT_S",
        description="Seconds a server may take to answer: ten times what two cores need.",
    )
    stop_timeout_s: float = Field(
        20.0,
        gt=0,
        alias="EMBEDDED_STOP_TIMEOUT_S",
        description="Seconds a process may take to stop before it is killed; both servers recover from a kill.",
    )
    service_timeout_s: float = Field(
        90.0,
        gt=0,
        alias="EMBEDDED_SERVICE_TIMEOUT_S",
        description="Seconds all services together may take to be healthy; the tagger loads a model first.",
    )
    log_mb: int = Field(
        10,
        ge=1,
        alias="EMBEDDED_LOG_MB",
        description="MiB of a log file before it is rotated; one older file is kept.",
    )

    @property
    def cache_folder(self) -> Path:
        """Where jars and compiled Java are kept, outside any checkout."""
        if self.cache_dir is not None:
            return self.cache_dir.expanduser().absolute()
        if self.xdg_cache_home is not None:
            return self.xdg_cache_home.expanduser().absolute() / "newsflow"
        return Path.home() / ".cache" / "newsflow"

    @property
    def run_folder(self) -> Path:
        """Where this stack's data, logs and run file are: one stack per folder."""
        if self.run_dir is not None:
            return self.run_dir.expanduser().resolve()
        # An installed copy lies in site-packages, which is no place for data.
        home = PROJECT_ROOT if (PROJECT_ROOT / "pyproject.toml").is_file() else Path.cwd()
        return home.resolve() / ".newsflow"
