"""The cause of a drift: each verdict and its near miss, on small frames of its own."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firebreak.detectors.drift.cause import Cause, CauseVerdict, Versions, cause_of
from firebreak.detectors.drift.quality import QualityFault
from firebreak.detectors.drift.spec import DatasetSpec, parse_spec
from firebreak.detectors.drift.verdicts import judge

ROWS = 240
SPEC = parse_spec(
    """
dataset: parcels
workflow: parcels
source: {type: interaction-log}
window: {rows: 40}
reference: {rows: 40}
minimum_sample: 30
columns:
  size: {kind: numerical, method: wasserstein, threshold: 0.1, minimum: 0}
  tokens: {kind: numerical, method: wasserstein, threshold: 0.1}
  queue: {kind: prediction, method: jensenshannon, threshold: 0.1}
  queue_confidence: {kind: numerical, method: wasserstein, threshold: 0.1}
  feedback: {kind: target, method: jensenshannon, threshold: 0.1}
""",
    "parcels.yml",
)
OLD = [f"{first}{last}" for first in ("ba", "ko", "mi", "ru", "se", "ti") for last in ("la", "nd", "rt", "sk", "wen")]
NEW = [f"xy{word}" for word in OLD]


def period(seed: int, version: str = "1", words: list[str] = OLD, rows: int = ROWS, north: float = 0.5) -> pd.DataFrame:
    """Parcels to north and south, all answered rightly; every second one has feedback."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(words, 9)) for _ in range(rows)]
    truth = np.where(rng.random(rows) < north, "north", "south").astype(object)
    size = rng.normal(100, 15, rows)
    return pd.DataFrame({
        "id": [f"{seed}-{row}" for row in range(rows)],
        "text": pd.Series(texts, dtype=object),
        "size": size,
        "tokens": size / 4 + rng.normal(0, 1, rows),
        "queue": truth,
        "queue_confidence": rng.uniform(0.8, 1.0, rows),
        "router_version": version,
        "feedback": pd.Series(truth, dtype=object).where(np.arange(rows) % 2 == 0, None),
        "truth": truth,
    })  # fmt: skip


def spoilt(truth: Any, share: float, seed: int = 5, to: str | None = None) -> list[str]:
    """The true labels, a share of them turned round (or all of those to one label)."""
    hit = np.random.default_rng(seed).random(len(truth)) < share
    turned = [to or {"north": "south", "south": "north"}[label] for label in truth]
    return [other if one else label for label, other, one in zip(truth, turned, hit, strict=True)]


def asked(now: pd.DataFrame, champion: list[str] | None = None, former: list[str] | None = None, **more: Any) -> Any:
    """The cause of ``now`` against the usual reference; both versions are right unless told otherwise."""
    before = more.get("before", BEFORE)
    faults: list[QualityFault] = more.get("faults", [])
    spec: DatasetSpec = more.get("spec", SPEC)
    versions = Versions(
        champion="2",
        former="1",
        champion_predictions=now["queue"].tolist() if champion is None else champion,
        former_predictions=now["truth"].tolist() if former is None else former,
    )
    return cause_of(spec, judge(spec, before, now), faults, before, now, more.get("versions", versions))


def answered(seed: int, share: float, to: str | None = None, labels: bool = True, **how: Any) -> pd.DataFrame:
    """A window of version 2, which is wrong on a share of the rows, and unsure of itself."""
    now = period(seed, "2", **how)
    now["queue"] = spoilt(now["truth"], share, to=to)
    now["queue_confidence"] -= 0.3 * (share > 0)
    return now if labels else now.assign(feedback=None)


def fault(column: str | None, check: Any) -> QualityFault:
    return QualityFault(column=column, check=check, seen="secret 4711", allowed="-", title="-")


BEFORE = period(1)


def test_a_champion_worse_on_labelled_rows_is_the_model() -> None:
    found = asked(answered(2, 0.3))
    assert found.cause is Cause.MODEL
    assert found.evidence["versions"]["labels"]["rows"] == ROWS // 2


@pytest.mark.parametrize(
    ("champion", "former", "cause"),
    [
        (0.3, 0.0, Cause.MODEL),
        (0.02, 0.0, Cause.UNCLEAR),  # a few rows: chance
        (0.3, 0.3, Cause.POPULATION),  # both are right less often: the truth about the same inputs changed
        (0.6, 0.3, Cause.UNCLEAR),  # worse, but the former fell as well
        (0.0, 0.3, Cause.UNCLEAR),  # better
    ],
)
def test_labels_weigh_the_versions(champion: float, former: float, cause: Cause) -> None:
    now = answered(2, champion)
    assert asked(now, former=spoilt(now["truth"], former)).cause is cause


@pytest.mark.parametrize(("share", "cause"), [(0.6, Cause.MODEL), (0.02, Cause.UNCLEAR)])
def test_without_labels_only_the_champion_s_answers_moved(share: float, cause: Cause) -> None:
    assert asked(answered(2, share, to="north", labels=False)).cause is cause


def test_a_champion_unsure_of_the_same_inputs_is_the_model() -> None:
    now = answered(2, 0.3, labels=False)
    assert asked(now).cause is Cause.MODEL
    sure = now.assign(queue_confidence=period(2)["queue_confidence"])
    assert asked(sure).cause is Cause.UNCLEAR, "the same mix of answers, as sure as ever"


def test_a_version_that_answered_before_brought_no_change() -> None:
    before = BEFORE.assign(router_version="2")
    for labels in (True, False):
        found = asked(answered(2, 0.6, to="north", labels=labels), before=before)
        assert found.cause is Cause.UNCLEAR
        assert any("answered in the reference already" in reason for reason in found.reasons)


def test_answers_of_another_version_accuse_no_champion() -> None:
    now = answered(2, 0.6, to="north")
    found = asked(now.assign(queue=spoilt(now["truth"], 0.5, seed=9)), champion=now["queue"].tolist())
    assert found.cause is Cause.UNCLEAR


@pytest.mark.parametrize(
    ("words", "cause"), [(OLD[:15] + NEW[:15], "population"), (OLD * 4 + NEW[:1], "unclear"), (NEW, "population")]
)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_other_words_that_no_version_answers_better(words: list[str], cause: str, share: float) -> None:
    now = answered(3, share, words=words, labels=False)
    assert asked(now, former=now["queue"].tolist()).cause == cause


def test_two_versions_that_see_another_mix_see_other_inputs() -> None:
    now = answered(3, 0.0, north=0.85)
    assert asked(now.assign(feedback=None)).cause is Cause.POPULATION
    assert "the true labels have another mix" in asked(now).reasons


def test_other_words_and_an_odd_champion_contradict_each_other() -> None:
    assert asked(answered(3, 0.7, to="north", words=NEW, labels=False)).cause is Cause.UNCLEAR


@pytest.mark.parametrize(
    "faults",
    [
        [fault("size", "missing")],
        [fault("size", "range")],
        [fault("size", "constant")],
        [fault("size", "schema")],
        [fault("queue", "schema")],
        [fault("id", "duplicate")],
        [fault(None, "duplicate")],
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_faults_of_many_rows_are_the_data(faults: list[QualityFault], share: float) -> None:
    now = answered(2, share)
    broken = now.copy()
    broken.loc[:40, "size"] = {"missing": None, "range": -5.0}.get(faults[0].check, 100.0)
    if faults[0].check == "duplicate":
        broken.loc[:40] = broken.loc[0].to_numpy()
    found = asked(broken, faults=faults)
    assert found.cause is Cause.DATA
    assert "4711" not in found.model_dump_json()


@pytest.mark.parametrize(
    "few", [fault("size", "missing"), fault("size", "range"), fault("id", "duplicate"), fault("queue", "constant"),
            fault("queue", "new-category"), fault("queue_confidence", "constant")]
)  # fmt: skip
def test_faults_of_a_few_rows_and_of_the_model_s_own_answers_are_not(few: QualityFault) -> None:
    now = answered(2, 0.4)
    now.loc[:3, "size"] = {"missing": None, "range": -5.0}.get(few.check, 100.0)
    assert asked(now, faults=[few]).cause is Cause.MODEL


@pytest.mark.parametrize("text", ["", " \n", "ba\x00la ko\x00nd", "ba\ufffdla", "f\u00c3\u00bcr", "\udcff"])
def test_damaged_texts_are_the_data(text: str) -> None:
    now = answered(2, 0.0)
    hit = now.index % 4 == 0
    assert asked(now.assign(text=now["text"].where(~hit, text))).cause is Cause.DATA
    assert asked(now.assign(text=now["text"].where(now.index != 0, text))).cause is Cause.UNCLEAR
    assert asked(now.assign(text=now["text"].where(~hit, "für Ähnliches, naïve — 日本"))).cause is not Cause.DATA


def test_texts_cut_at_one_length_are_the_data() -> None:
    now = answered(2, 0.0)
    cut = now.assign(text=now["text"].where(now.index % 3 != 0, now["text"].str[:17]))
    assert asked(cut).cause is Cause.DATA
    same = now.assign(text=now["text"].where(now.index % 3 != 0, now["text"][0]))
    assert asked(same).cause is not Cause.DATA, "one text sent by many"


@pytest.mark.parametrize(
    "wording",
    [
        "My voice bundle order VB-{:08} was not activated",
        "Not activated: my voice bundle order VB-{:08}",
        "{:08} is a voice bundle that was not activated",
    ],
)
@pytest.mark.parametrize("others", ["", " and I asked the other day as well, twice in fact, and nobody has answered"])
def test_a_flood_of_one_new_kind_of_text_is_not_cut(wording: str, others: str) -> None:
    now = answered(2, 0.0)
    flood = pd.Series([wording.format(12345678 + 7919 * row) for row in now.index], dtype=object)
    flooded = now.assign(text=flood.where(now.index % 4 == 0, now["text"] + others))
    assert asked(flooded).cause is Cause.POPULATION


def test_a_column_that_nobody_looks_at_explains_no_drift() -> None:
    assert asked(answered(2, 0.4), faults=[fault("note", "schema")]).cause is Cause.MODEL


def test_numbers_that_no_longer_go_together_are_the_data() -> None:
    now = answered(2, 0.0)
    assert asked(now.assign(tokens=now["tokens"].sample(frac=1, random_state=1).to_numpy())).cause is Cause.DATA
    slower = asked(now.assign(tokens=now["tokens"] * 3))
    assert slower.cause is Cause.UNCLEAR, "they moved, and together"


def test_odd_data_ends_in_a_verdict() -> None:
    now = answered(2, 0.3)
    assert asked(now, versions=None).cause is Cause.UNCLEAR
    assert asked(answered(3, 0.0, words=NEW), versions=None).cause is Cause.POPULATION
    alone = Versions(champion="2", former=None, champion_predictions=now["queue"].tolist(), former_predictions=None)
    assert asked(now, versions=alone).cause is Cause.UNCLEAR
    assert asked(now[:10]).cause is Cause.UNCLEAR
    assert asked(now[:0]).cause is Cause.UNCLEAR
    assert asked(now[:0], faults=[fault(None, "schema")]).cause is Cause.DATA
    assert asked(now, before=BEFORE[:0]).cause is Cause.UNCLEAR
    assert asked(now.assign(size="many")).cause in Cause
    assert asked(pd.concat([now, now[["size"]]], axis=1)).cause in Cause
    bare = now.drop(columns=["text", "feedback", "router_version", "size"])
    assert asked(bare, before=BEFORE[["queue", "queue_confidence"]], versions=None).cause in Cause


def test_features_stand_for_texts_where_there_are_none() -> None:
    spec = SPEC.model_copy(update={"text": None})
    now = answered(2, 0.0).assign(size=lambda frame: frame["size"] + 20, feedback=None)
    found = asked(now, spec=spec)
    assert (found.cause, found.reasons[0]) == (Cause.POPULATION, "inputs drifted: size")
    assert asked(now).cause is Cause.UNCLEAR, "the texts say that the inputs are as before"


def test_a_prediction_too_few_is_refused() -> None:
    now = answered(2, 0.3)
    with pytest.raises(ValueError, match=r"former_predictions: 239 for 240 rows"):
        asked(now, former=now["truth"].tolist()[1:])


WINDOWS = {
    "model": answered(2, 0.3),
    "unlabelled": answered(2, 0.6, to="north", labels=False),
    "population": answered(3, 0.1, words=OLD[:20] + NEW[:10]),
    "data": answered(2, 0.3).assign(text=lambda frame: frame["text"].where(frame.index % 5 > 0, "")),
    "none": answered(4, 0.0),
}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(WINDOWS)), st.randoms(use_true_random=False), st.randoms(use_true_random=False))
def test_the_order_of_rows_plays_no_part(kind: str, first: Any, second: Any) -> None:
    now, before = WINDOWS[kind], BEFORE
    orders = [first.sample(range(len(now)), len(now)), second.sample(range(len(before)), len(before))]
    found: list[CauseVerdict] = [
        asked(now),
        asked(now.iloc[orders[0]].reset_index(drop=True), before=before.iloc[orders[1]].reset_index(drop=True)),
        asked(now.iloc[orders[0]], before=before.iloc[orders[1]]),
    ]
    assert found[0].cause == found[1].cause == found[2].cause
    assert found[0].reasons == found[1].reasons == found[2].reasons


@pytest.mark.parametrize("kind", sorted(WINDOWS))
def test_evidence_is_json_and_holds_no_text_of_any_row(kind: str) -> None:
    found = asked(WINDOWS[kind], faults=[fault("size", "missing")])
    kept = json.dumps(found.model_dump(mode="json"), allow_nan=False)
    assert len(kept) < 3000
    assert not any(word in kept for word in (*OLD, *NEW))
