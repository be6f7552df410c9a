"""Reading an interaction log again, from its beginning, with every record under the id that the scan knew it by."""

from collections.abc import Iterator

from firebreak.blocks.interaction_log import Chunk, InteractionLog, Position
from firebreak.blocks.log_follower import Line, beginning
from firebreak.blocks.store import Store
from firebreak.detectors.parsing import LineParser, MalformedLine
from firebreak.detectors.records import Record

CHUNK_BYTES = 4_000_000


def chunks(store: Store, log: InteractionLog) -> Iterator[Chunk]:
    """All there is of the log, rotated files included, oldest first. Errors: LogUnreadable."""
    scanned = store.position(log.source)
    position = beginning(log.path, Position.model_validate(scanned) if scanned else Position())
    while True:
        chunk = log.read(position, CHUNK_BYTES)
        yield chunk
        if chunk.at_end:
            return
        position = chunk.position


def record_in(line: Line, log: InteractionLog, parser: LineParser) -> Record | None:
    """The line's record; None for a line without one. Errors: MalformedLine."""
    return parser.parse(line.data, f"{log.source}:{line.where}")


__all__ = ["MalformedLine", "chunks", "record_in"]
