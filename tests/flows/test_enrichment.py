"""What triage freezes as evidence holds no secret that leaked."""

from firebreak.detectors.records import Record
from firebreak.flows.enrichment import _bounded
from tests.stores import START


def test_frozen_records_hold_neither_canary_nor_credential_nor_number() -> None:
    secrets = ("FBC-001122", "AKIAZ7QK2MWDX4RTP9VN", "4539 1488 0343 6467", "GR1601101250000000012300695")
    text = " and ".join(secrets)
    record = Record(time=START, workflow="w", prompt=f"Is {text} yours?", response=f"{text}.", error=text)
    body = str(_bounded(record, ["fbc-001122"]))
    assert not any(secret in body for secret in secrets)
    assert " and " in body
