"""`line.toml`: the settings of `watch` and `serve`, typed and checked; docs/line_file.md explains every key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ..choices import After, Existing, Graph, Verdict, Written
from ..errors import UsageError
from ..files.toml_file import place_first, read_toml

Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class LineTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[line]: how parts are inspected, and where results go."""

    out: str = "inspections"
    provider: str = "cpu"
    threads: Count | None = None
    graph: Graph = "auto"
    heatmaps: Written = "all"
    clouds: Written = "none"
    allow_any_size: bool = False
    tries: Annotated[int, msgspec.Meta(ge=1, le=100)] = 3
    retry_seconds: Positive = 2.0
    request_queue: Count = 32
    require_signature: list[str] = []


class ProductTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[product]]: a bundle, and what requests and folders call it; `watch` takes the name from the bundle ("")."""

    name: Name
    bundle: str
    threshold: float | None = None
    follow: bool = True


class FolderTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[folder]]: a hot folder."""

    path: str
    name: Name = "folder"
    product: Name | None = None
    recursive: bool = False
    after: After = "leave"
    done: str | None = None
    settle_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.5
    poll_seconds: Positive = 1.0
    existing: Existing = "inspect"


class CameraTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[camera]]: a GenICam 3D camera."""

    producer: str
    name: Name = "camera"
    serial: str | None = None
    product: Name | None = None
    wait_seconds: Positive = 1.0


class HttpTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[http]: requests, the live page and the metrics."""

    host: str = "127.0.0.1"
    port: Port = 8080
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    plain_http: bool = False
    names: list[str] = []
    max_request_mb: Positive = 256.0
    timeout_seconds: Positive = 30.0


class MqttTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[mqtt]]: a broker that every result is published to."""

    name: Name = "mqtt"
    host: str
    port: Port = 1883
    topic: str = "cmdiad/line"
    client_id: str | None = None
    version: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password_file: str | None = None
    tls: bool = False
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None


class OpcuaTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[opcua]]: a server that a controller reads results from and triggers inspections on."""

    name: Name = "opcua"
    host: str = "127.0.0.1"
    port: Port = 4840
    users_file: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    anonymous: bool = False
    trigger_folder: str | None = None


class WebhookTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[webhook]]: an address that every result is posted to."""

    name: Name = "webhook"
    url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    token_file: str | None = None
    tls_ca: str | None = None
    timeout_seconds: Positive = 10.0
    verdicts: tuple[Verdict, ...] = ("good", "defect", "error")


class HistoryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[history]: how long results and their files are kept."""

    keep_days: Positive = 90.0
    max_gb: Positive = 20.0
    min_free_gb: Annotated[float, msgspec.Meta(ge=0, le=1e6)] = 1.0


class LogTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[log]: JSON lines, in a file that is rotated, or on standard error."""

    file: str | None = None
    level: Literal["debug", "info", "warning", "error"] = "info"
    max_mb: Positive = 10.0
    backups: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 5


class LineFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    line: LineTable = LineTable()
    product: list[ProductTable]
    folder: list[FolderTable] = []
    camera: list[CameraTable] = []
    http: HttpTable = HttpTable()
    mqtt: list[MqttTable] = []
    opcua: list[OpcuaTable] = []
    webhook: list[WebhookTable] = []
    history: HistoryTable = HistoryTable()
    log: LogTable = LogTable()


def read_line_file(path: Path) -> LineFile:
    """Read and check `line.toml`; paths in it are relative to the folder it lies in.

    Raises:
        UsageError: it is missing, is not TOML, or a key is unknown, missing, or has a value that makes no sense.

    Example:
        >>> read_line_file(Path("line.toml")).product[0].name  # doctest: +SKIP
        'flange'
    """
    content = read_toml(path)
    try:
        file = msgspec.convert(content, LineFile)
    except msgspec.ValidationError as cause:
        raise UsageError(f"{path}: {place_first(str(cause))}: see docs/line_file.md") from cause
    _check(file, path)
    return file


def placed(base: Path, name: str) -> Path:
    """A path of the file, relative to the folder that it lies in.

    Raises:
        UsageError: a path cannot have this name, or `~user` names a user that does not exist.
    """
    if "\0" in name:
        raise UsageError(f"{base}: {name!r} is not a path: it has a null character")
    try:
        return base / Path(name).expanduser()
    except RuntimeError as cause:
        raise UsageError(f"{base}: {name!r} names an unknown user's home folder: give the full path") from cause


def _check(file: LineFile, path: Path) -> None:
    """Check what the types cannot express.

    Raises:
        UsageError: two entries share a name, a source names a product that is not there, or a combination makes no
            sense.
    """
    if not file.product:
        raise UsageError(f"{path}: there is no [[product]]: name at least one bundle")
    products = [product.name for product in file.product]
    _refuse_twins(path, "product", products)
    sources: list[FolderTable | CameraTable] = [*file.folder, *file.camera]
    _refuse_twins(path, "source (folder, camera)", [source.name for source in sources])
    sinks = [table.name for tables in (file.mqtt, file.opcua, file.webhook) for table in tables]
    _refuse_twins(path, "sink (mqtt, opcua, webhook)", sinks)
    for source in sources:
        if source.product is not None and source.product not in products:
            raise UsageError(
                f"{path}: source {source.name!r} names product {source.product!r}: this file has {', '.join(products)}"
            )
    for folder in file.folder:
        if folder.done is not None and folder.after != "move":
            raise UsageError(f'{path}: folder {folder.name!r} has a `done` folder: set after = "move" too')
    if (file.http.tls_cert is None) != (file.http.tls_key is None):
        raise UsageError(f"{path}: [http] has only one of tls_cert and tls_key: give both or neither")


def _refuse_twins(path: Path, what: str, names: list[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UsageError(f"{path}: two of {what} are called {twins[0]!r}: give each its own name")
