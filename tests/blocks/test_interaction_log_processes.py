"""Several processes append while the log is rotated; one is killed in the middle of its line."""

import signal
import subprocess
import sys
from pathlib import Path

from firebreak.blocks.interaction_log import InteractionLog, Position
from tests.blocks.logs import ids, record, rotate
from tests.waiting import until

WRITERS, EACH = 3, 150

WRITER = """
import sys
from pathlib import Path
from firebreak.blocks.interaction_log import InteractionLog
from tests.blocks.logs import record
log = InteractionLog(path=Path(sys.argv[1]))
for n in range(int(sys.argv[3])):
    log.append(record(f"{sys.argv[2]}-{n}", "y" * (n * 37 % 3000)))
"""

KILLED = """
import os, signal, sys
from pathlib import Path
from firebreak.blocks.interaction_log import InteractionLog
from tests.blocks.logs import record
whole = os.write
def half(fd, data):
    whole(fd, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
log = InteractionLog(path=Path(sys.argv[1]))
log.append(record("before-the-kill"))
os.write = half
log.append(record("torn"))
"""


def start(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments])


def test_every_whole_record_is_read_exactly_once(tmp_path: Path) -> None:
    log = InteractionLog(path=tmp_path / "calls.log")
    writers = [start(WRITER, str(log.path), f"writer{n}", str(EACH)) for n in range(WRITERS)]
    killed = start(KILLED, str(log.path))
    position: Position | None = None
    lines: list[bytes] = []

    def read() -> int:
        nonlocal position
        chunk = log.read(position, 20_000)
        position = chunk.position
        lines.extend(line.data for line in chunk.lines)
        return len(lines)

    try:
        for limit in (50, 150, 250):
            until(lambda limit=limit: read() >= limit, 60, f"{limit} lines")  # type: ignore[misc]
            rotate(log.path)
        assert [writer.wait(60) for writer in writers] == [0] * WRITERS
        assert killed.wait(60) == -signal.SIGKILL
    finally:
        for process in [*writers, killed]:
            process.kill()
            process.wait()
    log.append(record("last"))
    until(lambda: read() and b'"last"' in lines[-1], 10, "the last record")

    expected = {f"writer{n}-{i}" for n in range(WRITERS) for i in range(EACH)} | {"before-the-kill", "last"}
    assert sorted(ids(lines)) == sorted(expected)
    assert len(lines) == len(expected) + 1  # the torn one
    for n in range(WRITERS):
        own = [id for id in ids(lines) if id.startswith(f"writer{n}-")]
        assert own == [f"writer{n}-{i}" for i in range(EACH)]
