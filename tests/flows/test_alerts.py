"""Messages to the policy's recipients: in their hours, again until somebody acknowledges, each at most once."""

import tempfile
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firebreak.blocks import notify_team
from firebreak.blocks.notify_team import NotifyTeam
from firebreak.blocks.store import Batch, State, Store
from firebreak.blocks.store.alerts import AlertState
from firebreak.blocks.store.approvals import Decision
from firebreak.blocks.store.database import connect
from firebreak.blocks.store.ledger import Outcome, Step
from firebreak.detectors.findings import Severity
from firebreak.flows.alert_gaps import alert
from tests.flows.alerting import NO_RUNS, POLICY, Post, notify, opened, states
from tests.stores import Clock, finding


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    post = Post()
    monkeypatch.setattr(notify_team, "tell", post.tell)
    return post


def test_a_critical_one_is_repeated_until_acknowledged_each_once(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store)
    assert notify(store, number).state is Outcome.SUCCEEDED
    assert post.taken() == ["on-call", "office"]
    clock.forward(599)
    assert alert(store, NO_RUNS) == []
    clock.forward(1)
    for _ in range(3):
        alert(store, NO_RUNS)
    assert [body for _, body in post.sent] == [
        f"[critical] incident {number}: prompt-injection (repeat 1), workflow answer-tickets, state open. "
        f"Acknowledge it: run acknowledge/firebreak with incident_id={number}"
    ]
    assert post.taken() == ["on-call"]
    clock.forward(3600)  # nobody looked for an hour: one message, not six
    alert(store, NO_RUNS)
    assert post.taken() == ["on-call"]
    store.incidents.note(number, "acknowledged", "Ada")
    clock.forward(3600)
    assert (alert(store, NO_RUNS), post.taken()) == ([], [])


def test_repeats_come_to_an_end(store: Store, clock: Clock, post: Post) -> None:
    notify(store, opened(store))
    post.taken()
    for _ in range(10):
        clock.forward(600)
        alert(store, NO_RUNS)
    assert post.taken() == ["on-call"] * 3


def test_others_wait_for_the_hours_and_are_not_repeated(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store, Severity.HIGH)
    clock.forward(4 * 3600)
    assert notify(store, number).state is Outcome.SUCCEEDED  # it is the store's to send from here on
    assert (post.taken(), states(store, number)) == ([], [("office", 0, "waiting")])
    clock.forward(timedelta(days=2, hours=15, minutes=59).total_seconds())
    assert (alert(store, NO_RUNS), post.taken()) == ([], [])
    clock.forward(60)
    for _ in range(3):
        alert(store, NO_RUNS)
        clock.forward(3600)
    assert (post.taken(), states(store, number)) == (["office"], [("office", 0, "sent")])


def test_a_critical_one_goes_out_of_hours_where_the_policy_lets_it(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store)
    clock.forward(4 * 3600)
    store.registers.put_policy(POLICY.replace(", critical_anytime: false", ""))
    notify(store, number)
    assert post.taken() == ["on-call", "office"]


@pytest.mark.parametrize("what", ["decided", "given", "released", "closed"])
def test_whatever_a_person_does_about_it_acknowledges_it(store: Store, clock: Clock, post: Post, what: str) -> None:
    number = opened(store)
    notify(store, number)
    for state in (State.TRIAGED, State.RESPONDING):
        store.incidents.move(number, state, "test")
    store.approvals.ask(number, "digest", "run", store.now + timedelta(hours=9))
    post.taken()
    clock.forward(600)
    if what == "decided":
        store.approvals.decide(number, "digest", Decision.REFUSE, "Ada", "", [])
    elif what == "closed":
        store.incidents.move(number, State.RESOLVED, "Ada")
    else:
        entry = {"given": "approval-given", "released": "release-requested"}[what]
        store.incidents.note(number, entry, "Ada")
    assert (alert(store, NO_RUNS), post.taken()) == ([], [])


def test_that_nobody_decided_in_time_acknowledges_nothing(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store)
    notify(store, number)
    for state in (State.TRIAGED, State.RESPONDING):
        store.incidents.move(number, state, "test")
    store.approvals.ask(number, "digest", "run", store.now + timedelta(minutes=5))
    post.taken()
    clock.forward(600)
    store.approvals.decide(number, "digest", Decision.EXPIRED, "firebreak", "", [])
    alert(store, NO_RUNS)
    assert post.taken() == ["on-call"]


def test_what_got_graver_since_it_was_acknowledged_is_told_anew(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store, Severity.HIGH)
    notify(store, number)
    store.incidents.note(number, "acknowledged", "Ada")
    post.taken()
    clock.forward(60)
    store.report(Batch(findings=[finding("r2", severity=Severity.CRITICAL)]), "guard")
    notify(store, number)
    assert [step.target for step in store.ledger.rows(number)] == ["office", "on-call, office"]
    incident = store.incidents.get(number)
    step = NotifyTeam().plan(store, incident, {})
    assert isinstance(step, Step)
    assert NotifyTeam().verify(store, incident, step).seen == {"on-call": "sent", "office": "sent"}
    clock.forward(600)
    post.taken()
    alert(store, NO_RUNS)
    assert post.taken() == ["on-call"]


def test_what_goes_on_after_its_end_is_told_anew(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store)
    notify(store, number)
    post.taken()
    clock.forward(60)
    store.incidents.move(number, State.RESOLVED, "Ada")
    store.incidents.move(number, State.OPEN, "firebreak")
    clock.forward(60)
    notify(store, number)
    assert post.taken() == ["on-call", "office"]
    clock.forward(600)
    alert(store, NO_RUNS)
    assert post.taken() == ["on-call"]


def test_one_who_can_not_be_reached_is_said_and_keeps_nobody_else_from_hearing(store: Store, post: Post) -> None:
    number = opened(store)
    post.broken = {"custom-webhook/on-call"}
    row = notify(store, number)
    assert (row.state, row.probe) == (Outcome.FAILED, {"on-call": "failed", "office": "sent"})
    assert post.taken() == ["office"]
    post.broken = set()
    assert notify(store, number).state is Outcome.SUCCEEDED
    assert post.taken() == ["on-call"]


def test_one_that_waited_and_then_failed_is_tried_again_ever_later(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store, Severity.HIGH)
    clock.forward(5 * 3600)  # Friday, 17:00
    assert notify(store, number).probe == {"office": "waiting"}
    clock.forward(63 * 3600)  # Monday, 08:00
    post.broken = {"custom-webhook/office"}
    alert(store, NO_RUNS)
    assert states(store, number) == [("office", 0, "failed")]
    clock.forward(14 * 60)
    assert (alert(store, NO_RUNS), post.taken()) == ([], [])
    post.broken = set()
    clock.forward(60)
    alert(store, NO_RUNS)
    assert (states(store, number), post.taken()) == ([("office", 0, "sent")], ["office"])
    clock.forward(3600)
    assert (alert(store, NO_RUNS), post.taken()) == ([], [])


def test_one_that_fails_at_once_is_tried_a_minute_later_until_it_is_closed(
    store: Store, clock: Clock, post: Post
) -> None:
    number = opened(store)
    post.broken = {"custom-webhook/office"}
    notify(store, number)
    assert post.taken() == ["on-call"]
    for minutes in (1, 1, 2, 4):
        clock.forward(60 * minutes - 1)
        assert alert(store, NO_RUNS) == []
        clock.forward(1)
        assert alert(store, NO_RUNS) == [f"incident {number}: message 0 to office: custom-webhook/office is broken"]
    store.incidents.move(number, State.FALSE_POSITIVE, "test")
    clock.forward(3600)
    alert(store, NO_RUNS)
    assert ("office", 0, "withdrawn") in states(store, number)


def test_a_message_whose_sender_was_killed_is_unknown_and_only_a_repeat_follows(
    store: Store, clock: Clock, post: Post
) -> None:
    number = opened(store)
    post.dies = True
    with suppress(KeyboardInterrupt):
        notify(store, number)
    post.dies = False
    assert notify(store, number).state is Outcome.UNKNOWN
    alert(store, NO_RUNS)
    assert post.taken() == ["office"]  # it had waited behind the one that died
    clock.forward(61)
    assert alert(store, NO_RUNS) == [f"incident {number}: message 0 to on-call: whether it was sent is unknown"]
    assert states(store, number)[0] == ("on-call", 0, "unknown")
    clock.forward(600)
    post.dies = True
    with suppress(KeyboardInterrupt):
        alert(store, NO_RUNS)
    post.dies = False
    clock.forward(661)
    for _ in range(3):
        alert(store, NO_RUNS)
    assert post.taken() == []  # the lost repeat was due then; the next is due an interval after that was said
    clock.forward(600)
    for _ in range(3):
        alert(store, NO_RUNS)
    assert post.taken() == ["on-call"]


def test_two_who_look_at_once_send_it_once(store: Store, clock: Clock, post: Post) -> None:
    number = opened(store)
    notify(store, number)
    last = store.alerts.of_incident(number)[0]
    assert store.alerts.repeat(last)
    assert store.alerts.repeat(last) is None
    store.alerts.put(number, "other", {"office": "custom-webhook/office"})
    waiting = store.alerts.of_step("other")[0]
    assert [store.alerts.claim(waiting), store.alerts.claim(waiting)] == [True, False]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(looks=st.lists(st.tuples(st.integers(0, 900), st.booleans()), min_size=1, max_size=12))
def test_however_senders_die_no_two_messages_come_closer_than_the_interval(looks: list[tuple[int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        clock, tried, dying = Clock(), list[datetime](), [False]

        def tell(channel: str, subject: str, body: str) -> None:
            if channel.endswith("on-call"):
                tried.append(clock.now)
                if dying[0]:
                    raise KeyboardInterrupt

        patch.setattr(notify_team, "tell", tell)
        store = Store(f"sqlite:///{folder}/store.db", clock)
        number = opened(store)
        notify(store, number)
        for seconds, dying[0] in looks:
            clock.forward(seconds)
            for _ in range(2):
                with suppress(KeyboardInterrupt):
                    alert(store, NO_RUNS)
        assert len(tried) <= 1 + 3
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(tried)]
        assert all(gap >= 600 for gap in gaps), gaps
        connect(f"sqlite:///{folder}/store.db").dispose()


def test_what_nobody_needs_to_hear_any_more_is_withdrawn(store: Store, clock: Clock, post: Post) -> None:
    clock.forward(4 * 3600)
    number = opened(store, Severity.HIGH)
    notify(store, number)
    store.incidents.move(number, State.RESOLVED, "Ada")
    assert alert(store, NO_RUNS) == [f"incident {number}: message 0 to office: withdrawn"]
    assert store.alerts.of_incident(number)[0].state is AlertState.WITHDRAWN
