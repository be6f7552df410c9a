"""Headless Chromium on the Prefect UI: a person who opens the suspended run and answers its form."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Locator, Page, Response, expect, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """This machine's Chromium, installed with apt where that may be done; else the test is skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
            subprocess.run(command, check=False, env=env, capture_output=True, timeout=420)
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium on this machine and no right to install it")
    return found


@contextmanager
def page() -> Iterator[Page]:
    """A page in a browser of its own, which is closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(30_000)
            yield page
        finally:
            browser.close()


def open_form(page: Page, run_url: str) -> Locator:
    """The dialog behind `Resume` of a suspended run."""
    page.goto(run_url)
    page.get_by_role("button", name="Resume").click(timeout=60_000)
    dialog = page.locator(".p-modal")  # newer releases give it the role `dialog`, older ones none
    dialog.get_by_text("Plan digest").wait_for()
    return dialog


def field(dialog: Locator, label: str) -> Locator:
    """A form field by its label, which isn't tied to its input."""
    return dialog.locator(".schema-form-property").filter(has_text=label).locator("textarea")


def fill_form(dialog: Locator, decision: str, name: str, comment: str, code: str) -> None:
    """Type the answer; nothing is sent yet."""
    for label, text in (("Decision", decision), ("Name", name), ("Comment", comment), ("Code", code)):
        field(dialog, label).fill(text)


def submit(dialog: Locator) -> None:
    """Send the answer; returns when the server has taken it. One that is busy is asked again, as a person would."""
    for _ in range(3):
        with dialog.page.expect_response(_is_resume) as answer:
            dialog.get_by_role("button", name="Submit").click()
        if answer.value.status < 500:
            break
    assert answer.value.json().get("status") == "ACCEPT", f"{answer.value.status}: {answer.value.text()}"
    dialog.wait_for(state="hidden")


def submit_unfit(dialog: Locator, complaint: str) -> None:
    """Press Submit; the server refuses the answer, the page says why, and the form stays."""
    with dialog.page.expect_response(_is_resume) as answer:
        dialog.get_by_role("button", name="Submit").click()
    assert answer.value.json().get("status") == "REJECT", f"{answer.value.status}: {answer.value.text()}"
    expect(dialog.page.get_by_text(complaint).first).to_be_visible()
    expect(dialog).to_be_visible()
    expect(dialog.page.get_by_text(complaint)).to_have_count(0, timeout=20_000)  # it lies over the form's button


def submit_bare(dialog: Locator, *complaints: str) -> None:
    """Press Submit; the form says each complaint, stays, and sends nothing."""
    sent: list[str] = []
    dialog.page.on("request", lambda request: sent.append(request.url))
    dialog.get_by_role("button", name="Submit").click()
    for complaint in complaints:
        expect(dialog).to_contain_text(complaint)
    assert [url for url in sent if url.endswith("/resume")] == []


def _is_resume(response: Response) -> bool:
    return response.url.endswith("/resume")


def answer_form(
    page: Page,
    run_url: str,
    shows: list[str],
    decision: str,
    name: str,
    comment: str,
    seed: str,
    picture: Path | None = None,
) -> None:
    """Open the suspended run; see that the form ``shows`` these texts; fill it in, take its picture, submit it.

    On the way: neither an empty answer nor a decision of another name is taken. ``seed`` is the person's.
    """
    dialog = open_form(page, run_url)
    for text in shows:
        expect(dialog).to_contain_text(text)
    submit_bare(dialog, *(f"'{field}' is a required property" for field in ("decision", "name", "code")))
    fill_form(dialog, "maybe", name, "", "000000")
    submit_unfit(dialog, "'maybe' does not match")
    fill_form(dialog, decision, name, comment, pyotp.TOTP(seed).now())
    if picture is not None:
        page.screenshot(path=picture)
    submit(dialog)
