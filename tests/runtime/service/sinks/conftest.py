"""A journal with results to deliver, and deliveries that wait for hundredths of seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.service import delivery
from cmdiad.runtime.service.arrival import Accepted, Arrival, PartRecord
from cmdiad.runtime.service.delivery import Delivery
from cmdiad.runtime.service.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    made = Journal(tmp_path / "line")
    yield made
    made.close()


def made_record(number: int, verdict: str = "good", part_id: str | None = None) -> PartRecord:
    """What became of a part; one of an even number is named by the plant."""
    is_error = verdict == "error"
    return PartRecord(
        number=number,
        source="folder",
        scan=f"part_{number}.tiff",
        part_id=part_id or (f"P{number:04d}" if number % 2 == 0 else None),
        product=None if is_error else "flange",
        bundle=None if is_error else "ab" * 32,
        accepted_at=1.0e9 + number,
        finished_at=1.0e9 + number + 0.25,
        verdict=verdict,  # type: ignore[arg-type]
        score=None if is_error else number / 8,
        threshold=None if is_error else 12.5,
        result={"error": {"kind": "scan", "message": "no points"}} if is_error else {"ms": {"read": 1.0}},
    )


@pytest.fixture(scope="session")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that 127.0.0.1 signed for itself, and its key; PEM."""
    pytest.importorskip("cryptography")
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "own.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "own.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "own.pem", folder / "own.key"


@pytest.fixture(scope="session")
def record_of() -> Callable[..., PartRecord]:
    """What became of a part, by its number, verdict and name."""
    return made_record


@pytest.fixture
def finish(journal: Journal) -> Callable[..., list[PartRecord]]:
    """Accept parts and give each its result, to be delivered to a sink."""

    def finish_parts(count: int, sink: str, verdict: str = "good") -> list[PartRecord]:
        arrivals = [Arrival("folder", "scan.tiff") for _ in range(count)]
        records = [made_record(number, verdict) for number in journal.accept(arrivals, at=1.0)]
        for arrival, record in zip(arrivals, records, strict=True):
            journal.finish(Accepted(record.number, arrival, 1.0), record, [sink])
        return records

    return finish_parts


@pytest.fixture
def deliver(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Delivery]]:
    """Start the delivery of the journal's results to a sink."""
    monkeypatch.setattr(delivery, "_FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(delivery, "_LONGEST_PAUSE_SECONDS", 0.05)
    started = []

    def start(sink: Any) -> Delivery:
        started.append(Delivery(sink, journal, lambda: {"state": "ready", "problems": []}))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop(0.0)
        one._thread.join(10.0)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Wait for what comes soon."""

    def wait(condition: Callable[[], object], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come"
            time.sleep(0.01)

    return wait
