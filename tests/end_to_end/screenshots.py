"""`python -m tests.end_to_end.screenshots`: the README's two pictures, taken of a real incident.

Plays the demo's steps up to the approval, fills in the form without submitting it, and opens the incident's page.
"""

import sys
import tempfile
from pathlib import Path

import pyotp
from playwright.sync_api import Page

from firebreak.deployments import probes
from firebreak.deployments.scenario import Scenario
from firebreak.deployments.steps import STEPS, asked_of
from firebreak.deployments.system import System
from tests.end_to_end import browser

PICTURES = Path(__file__).parent / "pictures"
FORM, INCIDENT = PICTURES / "approval-form.png", PICTURES / "incident-page.png"
LARGEST = 300_000


def take(page: Page, form_url: str, incident_url: str, code: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 1060})
    dialog = browser.open_form(page, form_url)
    why = "Leaked twice this week: stop it until the prompt is mended."
    browser.fill_form(dialog, "approve", "Ada Lovelace", why, code)
    page.screenshot(path=FORM)
    page.goto(incident_url)
    page.get_by_text("Timeline").last.wait_for()
    # The page scrolls inside a frame of its own, so a full-page picture needs a window as high as the text.
    boxes = [box for each in page.locator(".markdown-renderer").all() if (box := each.bounding_box())]
    text = max(boxes, key=lambda box: box["height"])
    height = text["y"] + text["height"] + 40
    page.set_viewport_size({"width": 1280, "height": int(height)})
    left = text["x"] - 20
    page.screenshot(path=INCIDENT, clip={"x": left, "y": 0, "width": text["width"] + 30, "height": height})


def main() -> int:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, System(Path(home)) as system, system.clients():
        scenario = Scenario(system, print)
        seed = scenario.store.approvers.enrol("Ada Lovelace", system.home.approver_key(), "screenshots")
        for name, step in STEPS.items():
            step(scenario)
            if name == "ask":
                break
        # Before the browser starts: beside its event loop, Prefect's clients would turn asynchronous.
        asked, artifact = asked_of(scenario), probes.artifact(f"incident-{scenario.incident_id}")
        assert asked
        with browser.page() as page:
            take(
                page,
                scenario.run_url(asked.runs[-1]),
                f"{system.ui_url}/artifacts/artifact/{artifact}",
                pyotp.TOTP(seed).now(),
            )
    for picture in (FORM, INCIDENT):
        size = picture.stat().st_size
        print(f"{picture}: {size:,} bytes")
        if size > LARGEST:
            print(f"larger than {LARGEST:,} bytes: too large for a README")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
