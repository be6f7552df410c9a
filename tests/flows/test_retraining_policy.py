"""The policy's `retraining` section: what is refused, and how it is said."""

import pytest

from firebreak.flows.policy import PolicyError, parse_policy


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("{}", "retraining: Value error, name exactly one of trainer"),
        ("{trainer: a.b, service: retraining-service/x}", "retraining: Value error, name exactly one of trainer"),
        ("{trainer: train}", "retraining.trainer: String should match pattern"),
        ("{service: shell/rm}", "retraining.service: String should match pattern"),
        ("{trainer: a.b, holdout: 1}", "retraining.holdout: Input should be less than or equal to 0.8"),
        ("{trainer: a.b, approval: maybe}", "retraining.approval: Input should be 'auto', 'one' or 'two'"),
        ("{trainer: a.b, cooldown: 5}", "retraining.cooldown: unknown key; allowed here: trainer, service, cooldown_m"),
        ("{trainer: a.b, gate: {gain: 1}}", "retraining.gate.gain: unknown key; allowed here: minimum_gain, con"),
        ("{trainer: a.b, gate: {minimum_gain: -1}}", "gate.minimum_gain: Input should be greater than or equal to 0"),
    ],
)
def test_a_broken_section_of_the_policy_is_refused_with_what_is_allowed(section: str, says: str) -> None:
    with pytest.raises(PolicyError, match="p.yml: .*" + says.replace("(", r"\(")):
        parse_policy(f"version: 1\nplaybooks: []\nretraining: {section}\n", "p.yml")


def test_a_policy_may_have_no_section() -> None:
    assert parse_policy("version: 1\nplaybooks: []\n", "p.yml").retraining is None
