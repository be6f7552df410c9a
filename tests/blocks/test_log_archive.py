"""Finished logs, plain, compressed and on S3: every line once, from any position, in constant memory."""

import gzip
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firebreak.blocks.interaction_log import InteractionLog, Line, LogUnreadable, Piece, Position
from firebreak.blocks.log_archive import LogArchive, _Lines
from firebreak.blocks.store import Aside
from tests.blocks.logs import ids, record

MAX_LINE = 1000


def zstd(data: bytes) -> bytes:
    return bytes(pyarrow.compress(data, codec="zstd", asbytes=True))


def archive(url: str | Path) -> LogArchive:
    return LogArchive(str(url), InteractionLog(path=Path("live.log"), max_line_bytes=MAX_LINE))


def chunks(log: LogArchive, position: Position | None = None, size: int = 700) -> Iterator[tuple[list[str], Position]]:
    """What each read gives, each position taken through JSON as the store does."""
    while True:
        chunk = log.read(position, size)
        position = Position.model_validate_json(chunk.position.model_dump_json())
        yield ids([line.data for line in chunk.lines]), position
        if chunk.at_end:
            return


def content(names: str) -> bytes:
    return b"".join(record(name, name * 100).model_dump_json().encode() + b"\n" for name in names)


@pytest.mark.parametrize(
    ("ending", "compress"),
    [(".jsonl", bytes), (".jsonl.gz", gzip.compress), (".jsonl.zst", zstd)],
    ids=["plain", "gz", "zst"],
)
def test_every_line_is_given_once_from_any_position(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"calls{ending}"
    path.write_bytes(compress(content("abcd")) + compress(content("efgh")))  # appended to: two members, two frames
    read = list(chunks(archive(path)))
    assert "".join(name for names, _ in read for name in names) == "abcdefgh"
    for number, (_, position) in enumerate(read):
        rest = [name for names, _ in read[number + 1 :] for name in names]
        assert [name for names, _ in chunks(archive(path), position) for name in names] == rest


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".zst", zstd)], ids=["gz", "zst"])
def test_an_archive_that_breaks_off_is_read_up_to_there(
    tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"calls{ending}"
    whole = content("abc") + os.urandom(200_000).hex().encode()
    path.write_bytes(compress(whole)[:-5_000])
    log, position = archive(path), None
    notices: list[str] = []
    found: list[Line] = []
    for _ in range(1000):
        chunk = log.read(position, 2_000)
        position, notices, found = chunk.position, [*notices, *chunk.notices], [*found, *chunk.lines]
        if chunk.at_end:
            break
    assert ids([line.data for line in found])[:3] == ["a", "b", "c"]
    assert "breaks off" in notices[0]


def test_what_unpacks_to_much_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(content("a") + b"x" * 30_000_000 + b"\n" + content("b")))
    log, position = archive(path), None
    asides: list[Aside] = []
    names: list[str] = []
    while True:
        chunk = log.read(position, 100_000)
        assert sum(len(piece.data) for piece in chunk.read if isinstance(piece, Piece)) <= 200_000
        position, asides = chunk.position, [*asides, *chunk.set_aside]
        names += ids([line.data for line in chunk.lines])
        if chunk.at_end:
            break
    assert names == ["a", "b"]
    assert [(aside.length, len(aside.excerpt)) for aside in asides] == [(30_000_000, 200)]


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogUnreadable, match=r"gone\.gz: .*name a file that can be read"):
        archive(tmp_path / "gone.gz").read(None, 1000)


@settings(deadline=None)
@given(st.binary(max_size=60).map(lambda data: data.replace(b"x", b"\n")), st.lists(st.integers(0, 60), max_size=6))
def test_lines_are_cut_as_by_split_however_the_bytes_come(data: bytes, cuts: list[int]) -> None:
    lines, longest = _Lines("log", 0, 8), 8
    found: list[Piece | Aside] = []
    bounds = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for start, end in pairwise(bounds):
        found += lines.feed(data[start:end], end == len(data) and start == bounds[-2])
    given_lines = [(line.offset, line.data) for piece in found if isinstance(piece, Piece) for line in piece.lines()]
    asides = [(aside.offset, aside.length) for aside in found if isinstance(aside, Aside)]
    offset, wanted = 0, []
    for line in data.removesuffix(b"\n").split(b"\n") if data else []:
        wanted.append((offset, line))
        offset += len(line) + 1
    assert given_lines == [(at, line) for at, line in wanted if len(line) <= longest]
    assert asides == [(at, len(line)) for at, line in wanted if len(line) > longest]


@pytest.mark.integration
def test_an_object_on_s3_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }.items():
            monkeypatch.setenv(name, value)
        import boto3

        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_object(Bucket="logs", Key="calls.jsonl.zst", Body=zstd(content("abc")))
        assert [name for names, _ in chunks(archive("s3://logs/calls.jsonl.zst")) for name in names] == ["a", "b", "c"]
    finally:
        server.stop()
