"""The policy's `retraining` section: how a new model is made, how often, and what it must show before promotion.

It stands here, and not with the rest of the policy, because the action that starts a retraining obeys it too.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from firebreak.blocks.store import Store
from firebreak.blocks.store.ledger import Approval
from firebreak.detectors.yaml_text import read_yaml

_FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"
_BLOCK = r"^retraining-service/[a-z0-9-]+$"


class GateRules(BaseModel):
    """What a candidate must show against the champion, on rows that neither was trained on. All are shares, 0 to 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum_gain: float = Field(
        default=0.0, ge=0, lt=1, description="on recent rows: the gain's lower bound must be above it"
    )
    confidence: float = Field(default=0.95, ge=0.5, lt=1, description="of the two-sided interval of that gain")
    most_loss_on_reference: float = Field(default=0.05, ge=0, le=1, description="accuracy lost on the reference's rows")
    most_loss_per_class: float = Field(default=0.15, ge=0, le=1, description="recall lost by any class, on either test")
    minimum_class_rows: int = Field(default=10, ge=1, description="rows a class needs for that")
    needs_reference: bool = Field(default=False, description="refuse where no row of the reference is labelled")


class RetrainingRules(BaseModel):
    """The section. Exactly one of ``trainer`` and ``service`` makes the candidate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trainer: str | None = Field(
        default=None,
        pattern=_FUNCTION,
        description="dotted name of a function: texts, labels (lists of str) to a fitted scikit-learn estimator "
        "with predict and predict_proba (the router needs probabilities)",
    )
    service: str | None = Field(
        default=None, pattern=_BLOCK, description="block of an external service: retraining-service/<name>"
    )
    cooldown_minutes: float = Field(default=60, ge=0, description="between two retrainings of one dataset")
    budget_per_week: int = Field(default=3, ge=1, description="retrainings of one dataset in seven days")
    minimum_records: int = Field(default=60, ge=10, description="labelled records without which nothing is trained")
    most_records: int = Field(default=20_000, ge=10, le=100_000, description="records read, the newest")
    holdout: float = Field(default=0.3, ge=0.05, le=0.8, description="share of them, the newest, kept for the test")
    approval: Approval = Field(default="one", description="of the promotion; auto: nobody is asked")
    gate: GateRules = GateRules()

    @model_validator(mode="after")
    def _one_maker(self) -> Self:
        if (self.trainer is None) == (self.service is None):
            raise ValueError("name exactly one of trainer (a function) and service (a block)")
        return self


def rules_in_force(store: Store) -> RetrainingRules | None:
    """The section of the policy in the store; None when it has none. Errors: ValidationError (bootstrap checks it)."""
    text = store.registers.policy()
    policy: Any = read_yaml(text) if text else None
    section = policy.get("retraining") if isinstance(policy, dict) else None
    return None if section is None else RetrainingRules.model_validate(section)
