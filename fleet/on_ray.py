"""Products on Ray: on this machine, or on a cluster whose machines see the same folders and have the same cmdiad."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..runtime.engines.onnxruntime_import import switch_telemetry_off
from ..runtime.errors import MachineError
from ..runtime.files.json_encoding import decode_own_json, encode_own_json
from ..runtime.threads import processor_share, single_threaded_blas
from .product_steps import failure_of, run_task
from .product_task import ProductOutcome, ProductTask

# A product whose process is lost (killed, out of memory, its machine gone) is tried again so often.
RETRIES = 3
# Nothing but names and figures travels through it.
_STORE_BYTES = 100 << 20
_REACHED_SECONDS = 10.0
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_task_oom_retries": str(RETRIES), "RAY_DEDUP_LOGS": "0"}


def run_on_ray(
    tasks: Sequence[ProductTask], workers: int, address: str | None, told: Callable[[ProductOutcome], None]
) -> None:
    """Do products side by side, each on one thread of a process that Ray starts.

    Args:
        tasks: the products.
        workers: how many processes on this machine; of a cluster Ray decides.
        address: of a cluster's head, as `10.0.0.5:6379`; None: this machine alone.
        told: called with each outcome as it comes.

    Raises:
        MachineError: Ray cannot be started, or there is no cluster at the address.
    """
    with _started(workers, address) as ray:
        # Lost processes only: an error of a product is its outcome and is not tried again.
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(run_encoded)
        pending = {remote.options(name=task.product.name).remote(encode_own_json(task)): task for task in tasks}
        while pending:
            ready, _ = ray.wait(list(pending), num_returns=1)
            for reference in ready:
                told(_outcome_of(ray, reference, pending.pop(reference)))


def run_encoded(task: bytes) -> bytes:
    """A product's work in another process: a `ProductTask` as JSON in, a `ProductOutcome` as JSON out."""
    switch_telemetry_off()
    with processor_share(1), single_threaded_blas():
        return encode_own_json(run_task(decode_own_json(task, ProductTask)))


def _outcome_of(ray: Any, reference: Any, task: ProductTask) -> ProductOutcome:
    try:
        return decode_own_json(ray.get(reference), ProductOutcome)
    except ray.exceptions.RayError as cause:
        lost = MachineError(f"its process was lost again after restarts ({_last_line(cause)}): run it again")
        return ProductOutcome(product=task.product.name, error=failure_of(None, lost, task.product.name))


@contextmanager
def _started(workers: int, address: str | None) -> Iterator[Any]:
    """Ray, connected; Ctrl-C and SIGTERM stay those of this program."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if address is not None:
        _require_reachable(address)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    local = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    try:
        try:
            if address is None:
                ray.init(address="local", **local, **quiet)
            else:
                ray.init(address=address, **quiet)
        except Exception as cause:
            where = "on this machine" if address is None else f"at {address}"
            advice = "give another --address, or --workers 1"
            raise MachineError(f"Ray cannot be used {where} ({_last_line(cause)}): {advice}") from cause
        except SystemExit:  # Ray's own answer to SIGTERM while it starts
            _restore(handlers)
            signal.raise_signal(signal.SIGTERM)
            raise
        finally:
            _restore(handlers)
        yield ray
    finally:
        ray.shutdown()
        _restore(handlers)


def _require_reachable(address: str) -> None:
    """Refuse an address at which nobody listens: Ray would try for a minute, and print lines of its own.

    Raises:
        MachineError: nothing answers there.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return  # `auto`, or something that Ray itself refuses
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACHED_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as cause:  # UnicodeError: no host can have this name
        raise MachineError(
            f"no Ray cluster answers at {address} ({cause}): check the address and that its head is started, or give "
            "--workers 1"
        ) from cause


def _last_line(error: Exception) -> str:
    """What an error that came from another process says at the end of its traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:300]


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        if handler is not None:
            signal.signal(number, handler)
