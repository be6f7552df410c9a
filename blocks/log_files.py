"""The files of one log: the live one and those rotated away from it, open for reading.

LogError
├── LogUnreadable    the log or its folder can't be read: a person must mend its permissions
└── LogUnwritable    a record couldn't be written: full disk, read-only folder, no permission
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

MARKED = 512  # bytes at either end of what was read that tell one file from another
BLOCK = 64 * 1024
ROTATED = re.compile(r"[.-](\d[\dT_.:-]*)")  # log.1, log-20240131, log.2024-01-31_12-00; not log.1.gz


class LogError(Exception):
    """Base of what the interaction log raises."""


class LogUnreadable(LogError):
    """The log is there and can't be read."""


class LogUnwritable(LogError):
    """A record could not be written whole."""


class LogFile:
    """One open file of the log. ``size`` is its size when it was opened."""

    def __init__(self, fd: int, name: str, live: bool) -> None:
        self.fd, self.name, self.live = fd, name, live
        status = os.fstat(fd)
        self.inode, self.size = status.st_ino, status.st_size

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes, fewer only at the file's end."""
        found = os.pread(self.fd, length, offset)
        while 0 < len(found) < length and (more := os.pread(self.fd, length - len(found), offset + len(found))):
            found += more
        return found

    def mark(self, offset: int) -> str:
        """A digest of both ends of the first ``offset`` bytes: the same in a copy, another in other content."""
        ends = self.read(0, min(offset, MARKED)), self.read(max(0, offset - MARKED), min(offset, MARKED))
        return hashlib.sha256(b"".join(ends)).hexdigest()[:32] if offset else ""

    def is_copy_of(self, other: "LogFile") -> bool:
        """True while all of this file is also the beginning of ``other``, as in the middle of a copytruncate."""
        if self.size > other.size:
            return False
        return all(
            self.read(at, min(BLOCK, self.size - at)) == other.read(at, min(BLOCK, self.size - at))
            for at in range(0, self.size, BLOCK)
        )


@contextmanager
def opened(path: Path) -> Iterator[list[LogFile]]:
    """The log's files, oldest first and the live one last, each once. Errors: LogUnreadable."""
    with ExitStack() as stack:
        files: dict[int, LogFile] = {}
        for name in [*_rotated(path), path.name]:
            fd = _open(path.with_name(name))
            if fd is None:
                continue
            stack.callback(os.close, fd)
            file = LogFile(fd, name, live=name == path.name)
            files.pop(file.inode, None)  # renamed while we looked: the later name is the present one
            files[file.inode] = file
        yield list(files.values())


def _rotated(path: Path) -> list[str]:
    """Names of rotated files, oldest first: log.2 before log.1, log-20240130 before log-20240131."""

    def age(name: str) -> tuple[int, str]:
        suffix = name[len(path.name) + 1 :]
        return (-int(suffix), "") if suffix.isdigit() and len(suffix) < 6 else (-(10**6), suffix)

    try:
        names = os.listdir(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise LogUnreadable(f"folder {path.parent}: {error.strerror}; let this user read it") from error
    ours = [n for n in names if n.startswith(path.name) and ROTATED.fullmatch(n[len(path.name) :])]
    return sorted(ours, key=age)


def _open(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LogUnreadable(f"interaction log {path}: {error.strerror}; let this user read it") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise LogUnreadable(f"interaction log {path} is not an ordinary file; name a file")
    return fd
