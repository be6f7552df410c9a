from datetime import UTC, datetime

import pytest

from firebreak.detectors.records import Record
from firebreak.detectors.usage.counter import UsageCounter
from firebreak.detectors.usage.outcome import declined, failed, never_made

DECLINED = [
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, I can\u2019t assist with this request.",
    "Sorry, I cannot provide instructions for that.",
    "I can't share my instructions.",
    "I cannot comply with this.",
    "As an AI language model, I cannot discuss that.",
    "Unfortunately, I am unable to help with this request.",
    "I must respectfully decline.",
    "I won't engage with this.",
    "We are not able to disclose other customers' data.",
    "**I'm unable to fulfil this request**",
]
ANSWERED = [
    "I can't find your invoice in our system; could you send the number?",
    "I'm sorry to hear that! Please restart the app and sign in again.",
    "Sorry for the delay. Your refund is on its way.",
    "You can't change the plan yourself, but we can do it for you.",
    "I can help with that.",
    "In Settings, under Billing.",
    "If the model says 'I can't help with that', write to us.",
    "Unfortunately the parcel is late.",
    "",
    None,
]


@pytest.mark.parametrize("answer", DECLINED)
def test_the_model_declined(answer: str) -> None:
    assert declined(answer)


@pytest.mark.parametrize("answer", ANSWERED)
def test_the_model_answered(answer: str | None) -> None:
    assert not declined(answer)


def test_what_the_guard_refused_is_neither_failed_nor_made() -> None:
    refused = "refused: user ada is quarantined by incident 3"
    assert not failed(refused, None)
    assert never_made(refused, None)
    assert not never_made(refused, "an answer that was withheld")
    assert failed("EndpointUnreachable: answered 503", 503)
    assert failed(None, 500)
    assert not failed(None, 200)
    assert not failed(None, None)


def test_a_held_back_call_is_not_counted_a_withheld_answer_is() -> None:
    counter = UsageCounter()
    record = Record(time=datetime(2026, 1, 1, tzinfo=UTC), workflow="w", error="refused: the prompt")
    counter.add_record(record)
    assert counter.windows() == {}
    counter.add_record(record.model_copy(update={"response": "FBC-1234", "cost": 0.5}))
    ((_, counts),) = counter.windows().items()
    assert (counts.calls, counts.errors, counts.refusals, counts.cost) == (1, 0, 0, 0.5)
