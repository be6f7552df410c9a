"""Who answered, and whether it counts: codes, locks, two people, and every answer that comes when it should not."""

import base64
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pyotp
import pytest
import sqlalchemy as sa

from firebreak.blocks.store import ApproverError, Store
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.approvers import LOCKED, PERIOD, WRONG_CODES, Verdict
from firebreak.blocks.store.ledger import Outcome
from firebreak.blocks.store.schema import metadata
from tests.blocks.approving import KEY, Request
from tests.stores import Clock


@pytest.fixture
def request_(store: Store) -> Request:
    return Request(store, "mallory")


@pytest.fixture
def two(store: Store) -> Request:
    return Request(store, "mallory", "two")


@pytest.fixture
def code(store: Store, clock: Clock) -> Callable[..., str]:
    """The code an enrolled person's authenticator shows now, or so many steps away from now."""
    seeds = {name: store.approvers.enrol(name, KEY, "root") for name in ("Ada Lovelace", "Grace Hopper")}

    def show(name: str, steps: int = 0) -> str:
        return pyotp.TOTP(seeds[name]).at(clock.now, counter_offset=steps)

    return show


def test_a_person_with_the_right_code_decides_and_is_named_as_enrolled(
    request_: Request, code: Callable[..., str]
) -> None:
    asked = request_.answer("ada  LOVELACE", code("Ada Lovelace"))
    assert (asked.decision, asked.decided_by) == (Decision.APPROVE, "Ada Lovelace")
    (row,) = request_.store.ledger.rows(request_.incident_id)
    assert (row.state, row.decided_by) == (Outcome.APPROVED, "Ada Lovelace")
    assert "approval-decided" in request_.entries


def test_without_identity_everything_says_unidentified(request_: Request) -> None:
    asked = request_.answer("Ada Lovelace", identity="none")
    assert (asked.decision, asked.decided_by) == (Decision.APPROVE, "Ada Lovelace (unidentified)")
    (row,) = request_.store.ledger.rows(request_.incident_id)
    assert row.decided_by == "Ada Lovelace (unidentified)"
    (decided,) = [e for e in request_.store.incidents.timeline(request_.incident_id) if e.entry == "approval-decided"]
    assert decided.by == "Ada Lovelace (unidentified)"


@pytest.mark.parametrize("away", [-1, 0, 1])
def test_a_clock_that_is_a_little_off_is_forgiven(request_: Request, code: Callable[..., str], away: int) -> None:
    assert request_.answer("Ada Lovelace", code("Ada Lovelace", away)).decision is Decision.APPROVE


@pytest.mark.parametrize("away", [-2, 2])
def test_a_code_of_another_time_is_wrong(request_: Request, code: Callable[..., str], away: int) -> None:
    assert request_.answer("Ada Lovelace", code("Ada Lovelace", away)).decision is None
    assert request_.verdicts == [Verdict.WRONG_CODE]
    assert request_.outcome is Outcome.PLANNED
    assert "answer-rejected" in request_.entries


def test_a_code_is_judged_by_when_it_was_typed_for_ten_minutes(
    store: Store, clock: Clock, code: Callable[..., str]
) -> None:
    soon, late, ahead = (Request(store, actor) for actor in ("mallory", "trudy", "eve"))
    typed = code("Ada Lovelace")
    clock.forward(500)
    assert soon.answer("Ada Lovelace", typed, taken_up_after=500).decision is Decision.APPROVE
    typed = code("Grace Hopper")
    clock.forward(700)
    assert late.answer("Grace Hopper", typed, taken_up_after=700).decision is None
    assert ahead.answer("Grace Hopper", code("Grace Hopper", 20), taken_up_after=-600).decision is None


def test_a_code_counts_once_and_an_older_one_no_more(store: Store, clock: Clock, code: Callable[..., str]) -> None:
    first, second = Request(store, "mallory"), Request(store, "trudy")
    used = code("Ada Lovelace")
    assert first.answer("Ada Lovelace", used).decision is Decision.APPROVE
    assert second.answer("Ada Lovelace", used).decision is None
    assert second.answer("Ada Lovelace", code("Ada Lovelace", -1)).decision is None
    assert second.verdicts == [Verdict.USED_CODE, Verdict.USED_CODE]
    clock.forward(PERIOD)
    assert second.answer("Ada Lovelace", code("Ada Lovelace")).decision is Decision.APPROVE


def test_one_code_at_two_requests_at_once_counts_at_one(store: Store, code: Callable[..., str]) -> None:
    requests = [Request(store, f"user-{n}") for n in range(6)]
    used = code("Ada Lovelace")
    with ThreadPoolExecutor(len(requests)) as pool:
        decisions = list(pool.map(lambda request: request.answer("Ada Lovelace", used).decision, requests))
    assert sorted(map(str, decisions)) == ["None"] * 5 + ["approve"]


def test_five_wrong_codes_lock_a_person_for_a_quarter_of_an_hour(
    request_: Request, clock: Clock, code: Callable[..., str]
) -> None:
    wrong = f"{(int(code('Ada Lovelace')) + 1) % 1_000_000:06}"
    for _ in range(WRONG_CODES):
        request_.answer("Ada Lovelace", wrong)
    assert request_.why == "wrong code (5 of 5): Ada Lovelace is locked until 12:15:00 UTC"
    assert request_.answer("Ada Lovelace", code("Ada Lovelace")).decision is None
    assert request_.verdicts == [Verdict.WRONG_CODE] * 5 + [Verdict.LOCKED]
    clock.forward(LOCKED.total_seconds())
    request_.answer("Ada Lovelace", wrong)
    assert "1 of 5" in request_.why
    assert request_.answer("Ada Lovelace", code("Ada Lovelace")).decision is Decision.APPROVE
    (ada, grace) = request_.store.approvers.all()
    assert (ada.failures, ada.locked_until, grace.failures) == (0, None, 0)


@pytest.mark.parametrize("name", ["Eve", "Ada", "Ada Lovelace2"])
def test_an_unknown_person_decides_nothing(request_: Request, code: Callable[..., str], name: str) -> None:
    assert request_.answer(name, code("Ada Lovelace"), "refuse").decision is None
    assert request_.verdicts == [Verdict.UNKNOWN_PERSON]
    assert (
        request_.answer("Ada Lovelace", code("Ada Lovelace")).decision is Decision.APPROVE
    )  # the code was not used up


def test_a_revoked_person_is_unknown_until_enrolled_anew(request_: Request, code: Callable[..., str]) -> None:
    store = request_.store
    store.approvers.revoke("ada lovelace", "root")
    request_.answer("Ada Lovelace", code("Ada Lovelace"))
    seed = store.approvers.enrol("Ada Lovelace", KEY, "root")
    request_.answer("Ada Lovelace", code("Ada Lovelace"))  # of the old seed
    assert request_.verdicts == [Verdict.UNKNOWN_PERSON, Verdict.WRONG_CODE]
    assert request_.answer("Ada Lovelace", pyotp.TOTP(seed).at(store.now)).decision is Decision.APPROVE
    assert [bool(each.revoked_at) for each in store.approvers.all() if each.name == "Ada Lovelace"] == [True, False]


def test_an_answer_is_judged_once_however_often_it_is_brought(request_: Request, code: Callable[..., str]) -> None:
    for _ in range(WRONG_CODES + 1):
        request_.answer("Ada Lovelace", "000000", source="run/0")
    assert request_.verdicts == [Verdict.WRONG_CODE]
    assert request_.store.approvers.all()[0].failures == 1
    with ThreadPoolExecutor(4) as pool:
        right = code("Ada Lovelace")
        list(pool.map(lambda _: request_.answer("Ada Lovelace", right, source="run/1"), range(4)))
    assert request_.verdicts == [Verdict.WRONG_CODE, Verdict.COUNTED]


def test_two_different_people_approve(two: Request, clock: Clock, code: Callable[..., str]) -> None:
    assert two.answer("Ada Lovelace", code("Ada Lovelace")).decision is None
    assert (two.outcome, "approval-given" in two.entries) == (Outcome.PLANNED, True)
    clock.forward(PERIOD)
    assert two.answer("Ada Lovelace", code("Ada Lovelace")).decision is None
    assert two.verdicts[-1] is Verdict.SAME_PERSON
    asked = two.answer("Grace Hopper", code("Grace Hopper"))
    assert (asked.decision, asked.decided_by) == (Decision.APPROVE, "Ada Lovelace and Grace Hopper")
    assert two.outcome is Outcome.APPROVED


def test_an_approval_of_somebody_revoked_since_is_none(two: Request, clock: Clock, code: Callable[..., str]) -> None:
    two.answer("Ada Lovelace", code("Ada Lovelace"))
    assert len(two.store.approvals.given(two.asked.id, "totp")) == 1
    clock.forward(PERIOD)
    two.store.approvers.revoke("Ada Lovelace", "root")  # the phone was stolen
    seed = two.store.approvers.enrol("Ada Lovelace", KEY, "root")
    assert two.store.approvals.given(two.asked.id, "totp") == []
    assert two.answer("Grace Hopper", code("Grace Hopper")).decision is None
    asked = two.answer("Ada Lovelace", pyotp.TOTP(seed).at(clock.now))
    assert (asked.decision, asked.decided_by) == (Decision.APPROVE, "Grace Hopper and Ada Lovelace")


def test_two_people_at_once_are_both_heard(two: Request, code: Callable[..., str]) -> None:
    typed = {name: code(name) for name in ("Ada Lovelace", "Grace Hopper")}
    with ThreadPoolExecutor(2) as pool:
        decisions = list(pool.map(lambda name: two.answer(name, typed[name]).decision, typed))
    assert sorted(map(str, decisions)) == ["None", "approve"]
    assert two.verdicts == [Verdict.COUNTED, Verdict.COUNTED]


@pytest.mark.parametrize("first", ["Ada Lovelace", "Grace Hopper"])
def test_one_refusal_refuses_also_after_an_approval(
    two: Request, clock: Clock, code: Callable[..., str], first: str
) -> None:
    two.answer(first, code(first))
    clock.forward(PERIOD)
    assert two.answer("Grace Hopper", code("Grace Hopper"), "refuse").decision is Decision.REFUSE
    assert two.outcome is Outcome.REFUSED


def test_without_identity_two_needs_two_names_and_they_count_no_more_once_identity_is_asked(
    two: Request, code: Callable[..., str]
) -> None:
    two.answer("Ada Lovelace", identity="none")
    assert two.answer("ADA LOVELACE", identity="none").decision is None
    assert two.answer("Grace Hopper", code("Grace Hopper")).decision is None
    assert two.verdicts == [Verdict.COUNTED, Verdict.SAME_PERSON, Verdict.COUNTED]
    asked = two.answer("Ada Lovelace", code("Ada Lovelace"))
    assert (asked.decision, asked.decided_by) == (Decision.APPROVE, "Grace Hopper and Ada Lovelace")


def test_two_answers_at_once_make_one_decision(request_: Request, code: Callable[..., str]) -> None:
    typed = {"Ada Lovelace": "approve", "Grace Hopper": "refuse"}
    codes = {name: code(name) for name in typed}
    with ThreadPoolExecutor(2) as pool:
        heard = set(pool.map(lambda name: request_.answer(name, codes[name], typed[name]).decision, typed))
    assert len(heard) == 1
    assert sorted(request_.verdicts) == [Verdict.COUNTED, Verdict.LATE]
    assert request_.entries.count("late-answer") == 1


def test_an_answer_after_expiry_is_a_no(request_: Request, clock: Clock, code: Callable[..., str]) -> None:
    clock.forward(3600)
    assert request_.answer("Ada Lovelace", code("Ada Lovelace")).decision is Decision.EXPIRED
    assert request_.outcome is Outcome.REFUSED
    assert "approval-expired" in request_.entries


def test_an_answer_to_a_cancelled_request_changes_nothing(request_: Request, code: Callable[..., str]) -> None:
    steps = [step.digest(request_.incident_id) for step in request_.steps]
    request_.store.approvals.decide(
        request_.incident_id, request_.digest, Decision.CANCELLED, "firebreak", "the run was cancelled", steps
    )
    assert request_.answer("Ada Lovelace", code("Ada Lovelace")).decision is Decision.CANCELLED
    assert request_.why == "the request had ended as cancelled"
    assert request_.outcome is Outcome.REFUSED


ANOTHER_KEY = base64.urlsafe_b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("key", "says"),
    [(None, "is not in the environment"), ("short", "is not a key"), (ANOTHER_KEY, "another key")],
)
def test_without_the_key_no_code_counts_and_nobody_is_locked(
    request_: Request, code: Callable[..., str], key: str | None, says: str
) -> None:
    for _ in range(WRONG_CODES + 1):
        request_.answer("Ada Lovelace", "000000", key=key)
    assert set(request_.verdicts) == {Verdict.UNCHECKED}
    assert says in request_.why
    assert says in (request_.store.approvers.obstacle(key) or "")
    assert request_.answer("Ada Lovelace", code("Ada Lovelace")).decision is Decision.APPROVE


def test_what_is_in_the_way_of_answers_is_said(store: Store) -> None:
    assert "approvers enrol NAME" in (store.approvers.obstacle(KEY) or "")
    store.approvers.enrol("Ada Lovelace", KEY, "root")
    assert store.approvers.obstacle(KEY) is None
    assert "1 of the 2" in (store.approvers.obstacle(KEY, needed=2) or "")


def test_a_person_is_enrolled_once_and_by_a_usable_name(store: Store) -> None:
    store.approvers.enrol("Ada Lovelace", KEY, "root")
    for name, says in {"ada  lovelace": "already", "123456": "begins with a letter", "Ada (x)": "no brackets"}.items():
        with pytest.raises(ApproverError, match=says):
            store.approvers.enrol(name, KEY, "root")
    with pytest.raises(ApproverError, match="nobody of the name Eve"):
        store.approvers.revoke("Eve", "root")


def test_neither_codes_nor_seeds_are_in_the_store(store: Store, clock: Clock) -> None:
    seed = store.approvers.enrol("Ada Lovelace", KEY, "root")
    request, code = Request(store, "mallory"), pyotp.TOTP(seed).at(clock.now)
    request.answer("Ada Lovelace", "135790")
    request.answer("Ada Lovelace", code)
    request.answer("Ada Lovelace", "246802")
    with store._db.read() as conn:
        rows = [row for table in metadata.sorted_tables for row in conn.execute(sa.select(table))]
    text = str(rows)
    assert "Ada Lovelace" in text
    secrets = (seed, code, "135790", "246802", KEY)
    assert [secret for secret in secrets if re.search(rf"(?<![\w.]){re.escape(secret)}(?!\w)", text)] == []


def test_a_notice_is_claimed_once_and_one_that_was_never_settled_is_found(request_: Request, clock: Clock) -> None:
    store, asked = request_.store, request_.asked
    with ThreadPoolExecutor(6) as pool:
        claimed = list(pool.map(lambda _: store.approvals.claim_notice(asked, "reminded", "log"), range(6)))
    assert claimed.count(True) == 1
    assert store.approvals.claim_notice(asked, "escalated-1", "log")
    store.approvals.settle_notice(asked, "escalated-1", Outcome.SUCCEEDED)
    clock.forward(61)
    assert store.approvals.unsettled_notices(asked, store.now - timedelta(seconds=60)) == ["reminded"]
