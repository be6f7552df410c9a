"""The rooms import one way, flow files don't import one another, and the top level holds nothing else."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {
    "detectors": {"detectors"},
    "blocks": {"detectors", "blocks"},
    "flows": {"detectors", "blocks", "flows"},
    "deployments": {"detectors", "blocks", "flows", "deployments"},
}
COMPANIONS = {"Makefile", "constraints.txt", "LICENSE", "CHANGELOG.md"}
TOP_LEVEL = {*BELOW, "tests", "prefect.yaml", "pyproject.toml", "README.md", *COMPANIONS}
OUTSIDE_DETECTORS = {"prefect", "httpx", "openai", "sqlalchemy", "alembic", "requests", "socket", "urllib", "uvicorn"}
HARMLESS = "urllib.parse."  # a function of text
FILES = sorted(path for room in BELOW for path in (ROOT / room).rglob("*.py"))


def imports(path: Path, source: str | None = None) -> set[str]:
    """The absolute names a file imports, names taken from a package included; relative imports keep their dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source if source is not None else path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def misplaced(path: Path, source: str | None = None) -> list[str]:
    """The imports of a file that its room doesn't allow."""
    room = path.relative_to(ROOT).parts[0]
    wrong = []
    for name in imports(path, source):
        top, _, rest = name.partition(".")
        if top in ("", "tests", *BELOW) or (top == "firebreak" and rest.split(".")[0] not in BELOW[room]):
            wrong.append(name)
        if room == "detectors" and top in OUTSIDE_DETECTORS and not name.startswith(HARMLESS):
            wrong.append(name)
    return wrong


def has_flow(path: Path) -> bool:
    """Whether the file defines a function under ``@flow`` or ``@flow(...)``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if isinstance(called, ast.Name) and called.id == "flow":
                    return True
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    assert misplaced(path) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("detectors/x.py", "from firebreak.blocks import store"),
        ("detectors/x.py", "import prefect"),
        ("blocks/x.py", "import firebreak.flows.triage"),
        ("flows/x.py", "from firebreak import deployments"),
        ("flows/x.py", "from .policy import Policy"),
        ("flows/x.py", "from blocks import store"),
        ("deployments/x.py", "from tests.waiting import until"),
    ],
)
def test_a_wrong_import_would_be_seen(file: str, source: str) -> None:
    assert misplaced(ROOT / file, source)


def test_flow_files_do_not_import_one_another() -> None:
    flow_files = {f"firebreak.flows.{path.stem}": path for path in (ROOT / "flows").glob("*.py") if has_flow(path)}
    crossed = [
        f"{path.name} imports {other}"
        for module, path in flow_files.items()
        for other in flow_files
        if other != module and any(f"{name}.".startswith(f"{other}.") for name in imports(path))
    ]
    assert crossed == []


def test_the_top_level_holds_the_rooms_and_their_companions() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = {line.split("/")[0] for line in listed.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL
    assert set(BELOW) <= names
