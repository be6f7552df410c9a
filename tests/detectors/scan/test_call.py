"""The fast reader never says anything that the exact parser doesn't."""

import json
from typing import Any

import pytest
from hypothesis import given, settings

from firebreak.detectors.parsing import LineParser, MalformedLine
from firebreak.detectors.scan.call import Call, CallReader
from tests.detectors.scan.encodings import damaged, lines

PARSER = LineParser("json", {}, "support")
READER = CallReader(PARSER)
NAMES = [name for name in Call.__struct_fields__ if name not in ("id", "parts", "trusted")]
TIME = '"time":"2026-05-01T12:00:00Z"'


def agrees(data: bytes) -> bool:
    """Whether the fast reader is sure of the line; what it says is held against the exact parser."""
    call = READER.read(data)
    if call is None:
        return False
    record: Any = PARSER.parse(data, "here")
    assert record is not None
    read = {name: getattr(call, name) for name in NAMES}
    cleaned = {name: v.replace("\0", "\ufffd") if isinstance(v, str) else v for name, v in read.items()}
    assert cleaned == {name: getattr(record, name) for name in NAMES}
    assert call.id is None or call.id.replace("\0", "\ufffd") == record.id
    spans = [(part.origin, part.start, part.end) for part in call.parts or ()]
    assert spans == [(part.origin, part.start, part.end) for part in record.parts]
    return True


@settings(max_examples=400, deadline=None)
@given(lines)
def test_whatever_it_reads_the_parser_reads_so_too(data: bytes) -> None:
    agrees(data)


@settings(max_examples=400, deadline=None)
@given(damaged())
def test_a_damaged_line_is_read_only_if_it_is_still_a_record(data: bytes) -> None:
    agrees(data)


@pytest.mark.parametrize(
    "line",
    [
        f'{{{TIME},"prompt":"h\\u00e9llo \\ud83d\\ude00 \\/ \\n","response":"é"}}',
        f'{{"prompt":"a","prompt":"b",{TIME}}}',
        f'{{{TIME},"user":42,"latency_ms":5,"cost":0.5,"other":[1,{{"a":null}}],"workflow":null}}',
        f' {{ {TIME} , "parts" : [ {{"origin":"user","start":0,"end":1,"more":1}} ] , "prompt":"ab" }}\r',
        '{"time":"2026-05-01T14:00:00+02:00"}',
    ],
)
def test_ordinary_lines_are_read_fast(line: str) -> None:
    assert agrees(line.encode())


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xef\xbb\xbf{" + TIME.encode() + b"}",
        f'{{{TIME},"other":"'.encode() + b'\xff"}',
        f'{{{TIME},"gen_ai.prompt":"x"}}'.encode(),
        f'{{{TIME},"gen_ai":{{}}}}'.encode(),
        f'{{{TIME},"prompt":[{{"role":"user","content":"x"}}]}}'.encode(),
        f'{{{TIME},"prompt":"a\\u0000b"}}'.encode(),
        f'{{{TIME},"prompt":"\\ud800"}}'.encode(),
        f'{{{TIME},"user":"{"n" * 201}"}}'.encode(),
        f'{{{TIME},"other":{"[" * 900}{"]" * 900}}}'.encode(),
        f'{{{TIME},"other":{"9" * 4500}}}'.encode(),
        b'{"time":"2026-05-01T12:00:00"}',
        b'{"prompt":"no time"}',
        f'{{{TIME},"cost":-1}}'.encode(),
        f'{{{TIME},"prompt":"ab","parts":[{{"origin":"user","start":0,"end":3}}]}}'.encode(),
    ],
)
def test_what_it_is_not_sure_of_is_left_to_the_parser(line: bytes) -> None:
    assert not agrees(line)


def test_only_json_without_a_map_is_read_fast() -> None:
    assert CallReader.reads(PARSER)
    assert not CallReader.reads(LineParser("auto", {}, "support"))
    assert not CallReader.reads(LineParser("json", {"prompt": "body"}, "support"))


def test_every_field_of_a_record_is_read() -> None:
    from firebreak.detectors.parsing import FIELDS

    assert set(Call.__struct_fields__) - {"trusted"} == set(FIELDS)
    with pytest.raises(MalformedLine):
        PARSER.parse(json.dumps({"time": 1}).encode(), "here")
