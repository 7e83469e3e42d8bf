"""The station: order, tries, suspects, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cmdiad.runtime.errors import BusyError, EngineError, MachineError, OutputError
from cmdiad.runtime.service import station as station_module
from cmdiad.runtime.service.arrival import Arrival, FileContent, FileVersion, PartRecord, RawPoints
from cmdiad.runtime.service.history import HistoryQuery
from cmdiad.runtime.service.journal import Journal
from cmdiad.runtime.service.station import Station, StationSettings

WAIT_SECONDS = 20.0


@pytest.fixture
def new_station(tmp_path: Path, journal: Journal, word_products: Any) -> Callable[..., Station]:
    def make(**settings: Any) -> Station:
        chosen = {"out": tmp_path / "out", "threads": 2, "retry_seconds": 0.01, **settings}
        return Station(StationSettings(**chosen), journal, word_products, ["sink"])

    return make


def put(journal: Journal, folder: Path, words: Sequence[str]) -> None:
    folder.mkdir(exist_ok=True)
    for number, word in enumerate(words):
        (folder / f"{number}.tiff").write_text(word)
    journal.accept(
        [
            Arrival("folder", f"{n}.tiff", folder / f"{n}.tiff", version=FileVersion(f"{n}.tiff", 1, 1))
            for n in range(len(words))
        ]
    )


def run_until(station: Station, count: int) -> list[PartRecord]:
    """Run until so many results are there: the results in the order in which they came."""
    heard: list[PartRecord] = []

    def listen(record: PartRecord, inspection: Any) -> None:
        heard.append(record)
        if len(heard) == count:
            station.stop()

    station.listen(listen)
    station.run()
    return heard


def verdicts(journal: Journal) -> list[tuple[int, str]]:
    records = journal.records(*HistoryQuery(limit=1000).as_sql())
    return [(record.number, record.verdict) for record in reversed(records)]


def test_results_come_in_the_order_of_acceptance(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path
) -> None:
    words = ["good", "defect", "good", "good", "defect"] * 5
    put(journal, tmp_path / "in", words)
    heard = run_until(new_station(), len(words))
    assert [record.number for record in heard] == list(range(1, len(words) + 1))
    assert [record.verdict for record in heard] == words
    assert journal.count_undelivered("sink") == len(words)


def test_every_result_has_its_files_before_it_is_in_the_journal(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path
) -> None:
    put(journal, tmp_path / "in", ["defect"])
    (record,) = run_until(new_station(), 1)
    out = tmp_path / "out"
    files = record.result["files"]
    assert (out / files["heatmap"]).is_file() and (out / files["map"]).is_file()
    (stored,) = out.glob("*/000001_0.tiff_result.json")
    assert b'"verdict": "defect"' in stored.read_bytes()


def test_a_bad_file_is_tried_again_then_rejected_with_its_reason_and_stops_no_other(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path, word_products: Any
) -> None:
    put(journal, tmp_path / "in", ["bad", "good", "good"])
    heard = run_until(new_station(tries=3), 3)
    assert sorted(record.number for record in heard) == [1, 2, 3]
    rejected = next(record for record in heard if record.number == 1)
    assert rejected.verdict == "error" and rejected.result["tries"] == 3
    assert word_products.inspector.read_files.count("0.tiff") == 3
    folder = tmp_path / "out" / "rejected"
    assert (folder / "000001_0.tiff").read_text() == "bad"
    assert b"holds 'bad'" in (folder / "000001_0.tiff.reason.json").read_bytes()


def test_a_file_that_becomes_whole_between_two_tries_is_good(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path, word_products: Any
) -> None:
    put(journal, tmp_path / "in", ["bad"])
    read = word_products.inspector.read

    def mend(path: Path) -> str:
        try:
            return read(path)
        finally:
            path.write_text("good")

    word_products.inspector.read = mend
    (record,) = run_until(new_station(), 1)
    assert (record.verdict, record.result["tries"]) == ("good", 2)


def test_requests_are_answered_and_are_in_the_journal_by_then(
    new_station: Callable[..., Station], journal: Journal
) -> None:
    station = new_station()
    answers = [
        station.submit(Arrival("http", "a", content=FileContent(b"good"), part_id="A")),
        station.submit(Arrival("http", "b", content=FileContent(b"bad"), part_id="B")),
        station.submit(Arrival("http", "c", content=RawPoints(points=None))),  # type: ignore[arg-type]
    ]
    thread = threading.Thread(target=station.run)
    thread.start()
    records = [answer.result(WAIT_SECONDS).record for answer in answers]
    assert verdicts(journal) == [(1, "good"), (2, "error"), (3, "good")]
    station.stop()
    thread.join(WAIT_SECONDS)
    assert [record.verdict for record in records] == ["good", "error", "good"]
    assert records[1].result["error"]["kind"] == "scan"


def test_requests_go_before_files_that_wait(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path
) -> None:
    put(journal, tmp_path / "in", ["good"] * 3)
    station = new_station()
    station.submit(Arrival("http", "urgent", content=FileContent(b"good")))
    assert next(iter(run_until(station, 4))).scan == "urgent"


def test_more_requests_than_may_wait_are_refused(new_station: Callable[..., Station]) -> None:
    station = new_station(request_queue=2)
    for _ in range(2):
        station.submit(Arrival("http", "a", content=FileContent(b"good")))
    with pytest.raises(BusyError, match="2 requests are waiting"):
        station.submit(Arrival("http", "a", content=FileContent(b"good")))


def test_a_stopped_station_answers_what_it_took_and_takes_no_more(new_station: Callable[..., Station]) -> None:
    station = new_station()
    answer = station.submit(Arrival("http", "a", content=FileContent(b"good")))
    station.stop()
    with pytest.raises(BusyError, match="is stopping"):
        station.submit(Arrival("http", "b", content=FileContent(b"good")))
    station.run()
    assert answer.result(0).record.verdict == "good"


def test_files_that_wait_when_it_is_stopped_stay_in_the_journal(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path
) -> None:
    put(journal, tmp_path / "in", ["good"] * 50)
    run_until(new_station(), 1)
    assert 0 < journal.count_unfinished() < 50


def test_a_lost_device_ends_the_station_and_loses_no_part(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path
) -> None:
    put(journal, tmp_path / "in", ["good", "lost", "good"])
    station = new_station()
    answer = station.submit(Arrival("http", "a", content=FileContent(b"lost")))
    with pytest.raises(EngineError, match="the device is gone"):
        station.run()
    assert journal.count_unfinished() == 3
    with pytest.raises(MachineError, match="send it again"):
        answer.result(0)


def test_a_verdict_whose_heat_map_cannot_be_written_stands(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr("cmdiad.runtime.inspection.write_heatmap", full)
    put(journal, tmp_path / "in", ["defect"])
    (record,) = run_until(new_station(), 1)
    assert record.verdict == "defect"
    assert record.result["error"] == {"kind": "output", "message": "no space left"}
    assert set(record.result["files"]) == {"map"}


def test_a_result_that_cannot_be_kept_ends_the_station_before_anybody_hears_of_it(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OutputError("no space left")

    monkeypatch.setattr(station_module, "write_record", full)
    put(journal, tmp_path / "in", ["good"])
    with pytest.raises(OutputError, match="no space left"):
        run_until(new_station(), 1)
    assert verdicts(journal) == []
    assert journal.count_unfinished() == 1


def test_a_suspect_goes_alone(
    new_station: Callable[..., Station], journal: Journal, tmp_path: Path, word_products: Any
) -> None:
    put(journal, tmp_path / "in", ["good"] * 4)
    journal.begin([1, 2])
    folder = journal.path.parent
    journal.close()
    again = Journal(folder)
    station = Station(StationSettings(folder, threads=2), again, word_products)
    together: list[int] = []
    finish = word_products.inspector.finish

    def watched(word: str) -> Any:
        together.append(station.under_way)
        return finish(word)

    word_products.inspector.finish = watched
    heard = run_until(station, 4)
    assert [record.number for record in heard] == [1, 2, 3, 4]
    assert together[:2] == [1, 1]
    again.close()


def test_what_ended_the_process_twice_is_rejected_where_another_process_ends_too(
    journal: Journal, tmp_path: Path, word_products: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cmdiad.runtime.errors import PoisonError

    probed: list[str] = []

    def survives(bundle: Path, scan: Path, settings: Any) -> None:
        probed.append(scan.name)
        if scan.read_text() == "deadly":
            raise PoisonError("ends the process that inspects it (SIGSEGV)")

    monkeypatch.setattr(station_module, "survives", survives)
    put(journal, tmp_path / "in", ["deadly", "good"])
    folder = journal.path.parent
    for _ in range(2):
        journal.begin([1, 2])
        journal.close()
        journal = Journal(folder)
    heard = run_until(Station(StationSettings(folder, threads=2), journal, word_products), 2)
    assert [(record.number, record.verdict) for record in heard] == [(1, "error"), (2, "good")]
    assert heard[0].result["error"]["kind"] == "poison"
    assert probed == ["0.tiff", "1.tiff"]
    journal.close()
