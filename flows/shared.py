"""What every response flow needs first: the store, the actions by name, the run's own id."""

from typing import TypeVar

from prefect.blocks.core import Block
from prefect.runtime import flow_run

from firebreak.blocks.action import Action
from firebreak.blocks.guard_model import GuardModel
from firebreak.blocks.incident_store import IncidentStore
from firebreak.blocks.second_opinion import second_opinion
from firebreak.blocks.store import Store
from firebreak.detectors.second_opinion import Ask

B = TypeVar("B", bound=Block)

DOCUMENT = "firebreak"  # the name of every block document that bootstrap writes


def load_block(kind: type[B], name: str = DOCUMENT) -> B:
    """A block document, loaded synchronously. Errors: ValueError (there is none of this name)."""
    block = kind.load(name, _sync=True)  # type: ignore[call-arg]  # prefect's async_dispatch adds it
    assert isinstance(block, kind)
    return block


def open_store() -> Store:
    """The store of the block ``incident-store/firebreak``. Errors: StoreMisconfigured, StoreUnavailable."""
    return load_block(IncidentStore).open()


def find_guard_model() -> Ask | None:
    """The guard model of the block ``guard-model/firebreak``, as detectors ask it; None where there is none."""
    try:
        return second_opinion(load_block(GuardModel))
    except ValueError:
        return None


def load_action(name: str) -> Action:
    """The action block: ``stop-workflow`` means ``stop-workflow/firebreak``. Errors: TypeError, ValueError."""
    block = Block.load(name if "/" in name else f"{name}/{DOCUMENT}")
    if not isinstance(block, Action):
        raise TypeError(f"block {name} is a {type(block).__name__}, not an Action (a subclass of blocks.action.Action)")
    return block


def run_id() -> str | None:
    """This flow run's id; None outside one."""
    found: str | None = flow_run.id
    return found
