"""Writing and following the interaction log, case by case."""

import json
import os
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from firebreak.blocks.interaction_log import InteractionLog, LogUnreadable, LogUnwritable, Position
from tests.blocks.logs import NOON, chunks, ids, record, rotate


@pytest.fixture
def log(tmp_path: Path) -> InteractionLog:
    return InteractionLog(path=tmp_path / "logs" / "calls.log")


def all_ids(log: InteractionLog) -> list[str]:
    return ids([line.data for chunk in chunks(log) for line in chunk.lines])


def test_a_record_is_one_line_of_utf8_json_in_utc(log: InteractionLog) -> None:
    east = NOON.astimezone(timezone(timedelta(hours=5)))
    log.append(record("a", "première\nligne\u2028«x»", time=east, user="ada"))
    data = log.path.read_bytes()
    assert data.count(b"\n") == 1
    assert "première\\nligne\u2028«x»".encode() in data
    assert json.loads(data)["time"] == "2026-03-01T12:00:00Z"
    assert "trusted" not in json.loads(data)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_log_is_its_owners_alone_whatever_the_umask(log: InteractionLog, umask: int) -> None:
    log.path.parent.mkdir()
    before = os.umask(umask)
    try:
        log.append(record("a"))
        log.append(record("b"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_torn_line_does_not_swallow_the_next_record(log: InteractionLog) -> None:
    log.append(record("a"))
    with log.path.open("ab") as file:
        file.write(b'{"id":"torn","pro')
    (waiting,) = chunks(log)
    assert [line.data for line in waiting.lines] == [log.path.read_bytes().splitlines()[0]]
    log.append(record("b"))
    (after,) = chunks(log, waiting.position)
    assert after.lines[0].data == b'{"id":"torn","pro'
    assert ids([line.data for line in after.lines]) == ["b"]


def test_a_log_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnwritable, match=r"file/calls\.log: .*; give this process a folder it can write"):
        InteractionLog(path=tmp_path / "file" / "calls.log").append(record("a"))


def test_a_folder_in_the_logs_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogUnreadable, match="not an ordinary file"):
        InteractionLog(path=tmp_path).read()


def test_a_wrong_field_map_is_refused_when_the_block_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="promt"):
        InteractionLog(path=tmp_path / "calls.log", field_map={"promt": "body"})


def test_places_of_lines_stay_the_same_through_a_rotation(log: InteractionLog) -> None:
    log.append(record("a"))
    (first,) = chunks(log)
    log.append(record("b"))
    (before,) = chunks(log, first.position)
    rotate(log.path)
    log.append(record("c"))
    (after,) = chunks(log, first.position)
    assert [line.where for line in before.lines] == [line.where for line in after.lines][:1]
    assert len({line.where for line in after.lines}) == 2


def test_a_chunk_can_be_taken_up_to_any_of_its_lines_whatever_happens_to_the_files_then(log: InteractionLog) -> None:
    for name in ("a", "b", "c", "d"):
        log.append(record(name, "x" * 700))
        if name in "bd":
            rotate(log.path)
    log.path.write_bytes(record("e").model_dump_json().encode())  # and no newline yet
    rotate(log.path)
    log.append(record("f"))
    (chunk,) = chunks(log)
    assert ids([line.data for line in chunk.lines]) == list("abcdef")
    after = [Position.model_validate_json(chunk.after(line).model_dump_json()) for line in chunk.lines]
    assert after[-1] == chunk.position

    def rest(position: Position) -> str:
        return "".join(ids([line.data for chunk in chunks(log, position) for line in chunk.lines]))

    assert [rest(position) for position in after] == ["bcdef", "cdef", "def", "ef", "f", ""]
    log.path.with_name("calls.log.3").unlink()  # a and b
    rotate(log.path)
    log.append(record("g"))
    assert [rest(position) for position in after] == ["cdefg", "cdefg", "defg", "efg", "fg", "g"]
    copied = log.path.read_bytes()
    log.path.with_name("calls.log.0").write_bytes(copied)
    log.path.write_bytes(b"")
    log.append(record("h"))
    assert [rest(position) for position in after] == ["cdefgh", "cdefgh", "defgh", "efgh", "fgh", "gh"]


def test_everything_rotated_while_nobody_read_is_read_oldest_first(log: InteractionLog) -> None:
    for name in "abcd":
        log.append(record(name))
        rotate(log.path)
    log.append(record("e"))
    log.path.with_name("calls.log.5.gz").write_bytes(b"compressed")
    assert all_ids(log) == ["a", "b", "c", "d", "e"]


def test_dated_rotation_is_followed(log: InteractionLog) -> None:
    for name in ("20260228", "20260301"):
        log.append(record(name))
        log.path.rename(f"{log.path}-{name}")
    assert all_ids(log) == ["20260228", "20260301"]


def test_a_writer_that_kept_a_rotated_file_open_is_still_read(log: InteractionLog) -> None:
    log.append(record("a"))
    with log.path.open("ab") as old:
        (first,) = chunks(log)
        rotate(log.path)
        log.append(record("c"))
        (second,) = chunks(log, first.position)
        old.write(record("b").model_dump_json().encode() + b"\n")
        old.flush()
        (third,) = chunks(log, second.position)
        log.append(record("d"))
        (fourth,) = chunks(log, second.position)
    assert ids([line.data for line in second.lines]) == ["c"]
    assert ids([line.data for line in third.lines]) == ["b"]
    assert ids([line.data for line in fourth.lines]) == ["b", "d"]
    (rest,) = chunks(log, fourth.after(fourth.lines[0]))  # what was read of a later file before stays read
    assert ids([line.data for line in rest.lines]) == ["d"]


def test_the_unfinished_end_of_a_rotated_file_is_given_once_the_next_has_lines(log: InteractionLog) -> None:
    log.append(record("a"))
    log.path.write_bytes(log.path.read_bytes() + record("whole-but-for-its-newline").model_dump_json().encode())
    rotate(log.path)
    (waiting,) = chunks(log)
    assert ids([line.data for line in waiting.lines]) == ["a"]
    log.append(record("b"))
    (after,) = chunks(log, waiting.position)
    assert ids([line.data for line in after.lines]) == ["whole-but-for-its-newline", "b"]


def test_truncation_without_a_copy_is_noticed_once_and_the_new_lines_are_read(log: InteractionLog) -> None:
    log.append(record("a", "x" * 500))
    (first,) = chunks(log)
    log.path.write_bytes(b"")
    log.append(record("b"))
    (second,) = chunks(log, first.position)
    assert ids([line.data for line in second.lines]) == ["b"]
    assert f"truncated or replaced after byte {first.position.places[0].offset}" in second.notices[0]
    (third,) = chunks(log, second.position)
    assert (third.lines, third.notices) == ([], [])


def test_a_file_truncated_and_grown_past_the_old_offset_is_not_taken_for_the_old_one(log: InteractionLog) -> None:
    log.append(record("a"))
    (first,) = chunks(log)
    log.path.write_bytes(b"")
    for name in "bcd":
        log.append(record(name))
    assert ids([line.data for chunk in chunks(log, first.position) for line in chunk.lines]) == ["b", "c", "d"]


def test_a_log_that_is_not_there_is_waited_for_and_read_from_its_beginning(log: InteractionLog) -> None:
    absent = log.read()
    assert absent.notices == [f"{log.path} is not there yet: waiting for it"]
    assert log.read(absent.position).notices == []
    log.append(record("a"))
    (found,) = chunks(log, absent.position)
    log.path.unlink()
    gone = log.read(found.position)
    assert "was removed" in gone.notices[0]
    assert log.read(gone.position).notices == []
    log.append(record("b"))
    assert ids([line.data for chunk in chunks(log, gone.position) for line in chunk.lines]) == ["b"]


def test_a_ten_megabyte_line_is_set_aside_and_the_scan_goes_on(log: InteractionLog) -> None:
    log.append(record("a"))
    start = log.path.stat().st_size
    log.append(record("huge", "x" * 10_000_000))
    log.append(record("b"))
    passes = list(chunks(log, max_bytes=100_000))
    (aside,) = [aside for chunk in passes for aside in chunk.set_aside]
    assert (aside.offset, aside.length > 10_000_000, aside.excerpt[:12]) == (start, True, b'{"id":"huge"')
    assert f"calls.log#1@{start}" in aside.reason
    assert all_ids(log) == ["a", "b"]


def test_binary_junk_is_given_as_lines_and_the_scan_goes_on(log: InteractionLog) -> None:
    log.append(record("a"))
    with log.path.open("ab") as file:
        file.write(bytes(range(256)) * 8)
    log.append(record("b"))
    lines = [line for chunk in chunks(log) for line in chunk.lines]
    assert ids([line.data for line in lines]) == ["a", "b"]
    assert b"\n".join(line.data for line in lines) + b"\n" == log.path.read_bytes()


def test_recent_reads_the_end_of_the_log_and_of_the_newest_rotated_file(log: InteractionLog) -> None:
    for minute in range(4):
        if minute == 2:
            rotate(log.path)
        log.append(record(f"m{minute}", time=NOON + timedelta(minutes=minute)))
    with log.path.open("ab") as file:
        file.write(b"not json\n")

    def between(first: int, last: int, max_bytes: int = 10_000) -> list[str]:
        moments: list[datetime] = [NOON + timedelta(minutes=m) for m in (last, first)]
        return [found.id for found in log.recent(until=moments[0], since=moments[1], max_bytes=max_bytes)]

    assert between(0, 9) == ["m0", "m1", "m2", "m3"]
    assert between(1, 2) == ["m1", "m2"]
    assert between(0, 9, max_bytes=log.path.stat().st_size + 30) == ["m2", "m3"]
    assert between(0, 9, max_bytes=100) == []
