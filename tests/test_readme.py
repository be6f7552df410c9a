"""What README.md says exists, exists; what it shows loads. Commands were run by hand; these keep them from rotting."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from firebreak.blocks.store import Batch, Store
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.deployments import bootstrap, labels, up
from firebreak.deployments.demo import SABOTAGES
from firebreak.detectors import loki_rules
from firebreak.detectors.genai_names import ALIASES
from firebreak.detectors.injection import train
from firebreak.detectors.parsing import FIELDS
from firebreak.detectors.rules import load_rules
from firebreak.flows.executor import execute, undo_of
from firebreak.flows.policy import PlaybookStep, parse_policy
from tests.stores import finding
from tests.web_server import Asked, web_server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```(\w+)\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
TEXT = re.sub(r"^ *```.*?^ *```", "", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "shell" for line in text.splitlines()]
INLINE = re.findall(r"`([^`\n]+)`", TEXT)
PARSERS = {module.__name__: module.parser() for module in (bootstrap, labels, loki_rules, train, up)}


def blocks(kind: str, about: str = "") -> list[str]:
    return [text for found, text in BLOCKS if found == kind and about in text]


def table(*headers: str) -> list[list[str]]:
    """The cells of each row of the table with these headers."""
    head = re.escape(f"| {' | '.join(headers)} |")
    found = re.search(rf"^{head}\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert found, headers
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


def names(cells: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cells)


def imported(name: str) -> object:
    """The module or the attribute of one."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


def test_make_targets_and_their_variables_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    said = [command for command in [*COMMANDS, *INLINE] if command.startswith("make ")]
    assert len(said) > 10
    for command in said:
        target, *variables = command.split()[1:]
        assert target in targets, command
        for variable in variables:
            assert re.search(rf"\$\({variable.split('=')[0]}\)|^{variable.split('=')[0]} ", makefile, re.MULTILINE)


def test_the_sabotages_are_those_there_are() -> None:
    listed = re.search(r"The steps that can be broken: ([a-z,\s-]+)\.", TEXT)
    assert listed
    assert re.split(r",\s+", listed[1]) == list(SABOTAGES)


def test_modules_that_commands_run_exist_and_take_their_flags() -> None:
    said = [command for command in [*COMMANDS, *INLINE] if "python -m " in command]
    assert said
    for command in said:
        module, *arguments = command.split("python -m ")[1].split()
        imported(module)
        for flag in [word for word in arguments if word.startswith("--")]:
            assert flag in PARSERS[module].format_help(), command


def test_flags_named_in_the_text_exist() -> None:
    known = "".join(parser.format_help() for parser in PARSERS.values())
    known += " ".join(command for command in COMMANDS if command.startswith(("pip ", "prefect ")))
    assert [flag for flag in INLINE if flag.startswith("--") and flag not in known] == []


def test_paths_and_modules_in_backticks_exist() -> None:
    rooms = r"(?:detectors|blocks|flows|deployments|tests|\.ci)/"
    paths = [name for name in INLINE if re.match(rooms, name) or re.fullmatch(r"[\w.-]+\.(?:toml|yaml|md)", name)]
    assert len(paths) > 8
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = [name for name in INLINE if re.fullmatch(r"firebreak(?:\.\w+)+", name)]
    assert modules
    for module in modules:
        imported(module)


def test_deployments_and_block_documents_have_these_names() -> None:
    table_of_runs = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    runs = {f"{d['entrypoint'].split('.')[2].replace('_', '-')}/{d['name']}" for d in table_of_runs["deployments"]}
    documents = {
        f"{block}/firebreak" for block in re.findall(r'"([a-z-]+)", documents', Path(bootstrap.__file__).read_text())
    }
    said = {name for name in INLINE if re.fullmatch(r"[a-z-]+/firebreak", name)}
    said |= {command.split()[3] for command in COMMANDS if command.startswith("prefect deployment run")}
    assert len(said) > 5
    assert said <= runs | documents


def test_the_readmes_own_action_is_carried_out_and_undone(tmp_path: Path) -> None:
    """The code block under its heading, as it stands there, through the executor, against a real server."""
    section = README.split("### An action of your own\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    (steps,) = re.findall(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    mine: dict[str, Any] = {"__name__": "my_actions"}
    exec(compile(code, "README.md", "exec"), mine)
    flags = {"answer-tickets": True}

    def answer(asked: Asked) -> tuple[int, Any]:
        flag = asked.path.removeprefix("/flags/")
        if asked.method == "PUT":
            flags[flag] = asked.body["on"]
        return 200, {"on": flags[flag]}

    store = Store(f"sqlite:///{tmp_path}/store.db")
    (number, other) = (store.report(Batch(findings=[finding(r, actor=r)]), "guard").opened[0][0] for r in ("r1", "r2"))
    with web_server(answer) as server:
        action = mine["SwitchOff"](url=server.url)

        def run(number: int, step: Step) -> Row:
            with store.lease(f"incident:{number}", "test") as lease:
                assert lease
                (row,) = store.ledger.enter(number, [step])
                execute(store, store.incidents.get(number), [row], lambda _: action, lease)
            return store.ledger.row(row.digest)

        wanted = PlaybookStep.model_validate(yaml.safe_load(steps)["steps"][0])
        assert (wanted.action, wanted.expires_after) == (action.get_block_type_slug(), 86_400)
        rows = []
        for each in (number, other):  # two incidents want it
            step = action.plan(store, store.incidents.get(each), {})
            rows.append(run(each, step.model_copy(update={"expires_after": wanted.expires_after})))
        assert ([row.state for row in rows], flags) == ([Outcome.SUCCEEDED] * 2, {"answer-tickets": False})
        assert [asked.method for asked in server.asked].count("PUT") == 1
        assert run(number, undo_of(rows[0])).state is Outcome.SUCCEEDED
        assert flags == {"answer-tickets": False}  # the other one still wants it
        assert run(other, undo_of(rows[1])).state is Outcome.SUCCEEDED
    assert flags == {"answer-tickets": True}
    assert [store.ledger.row(row.digest).state for row in rows] == [Outcome.UNDONE] * 2


def test_the_recipients_load() -> None:
    (text,) = blocks("yaml", "recipients:")
    policy = parse_policy(f"version: 1\nplaybooks: []\n{text}", "README.md")
    assert [one.name for one in policy.recipients] == ["on-call", "office"]


@pytest.mark.parametrize("code", blocks("python"))
def test_python_compiles_and_imports_what_there_is(code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                imported(f"{node.module}.{alias.name}")
    compile(code, "README.md", "exec")


def test_the_rule_loads_and_its_cases_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from firebreak.detectors.cases import main

    (rule,) = blocks("yaml", "logsource:")
    (tmp_path / "payroll_question.yml").write_text(rule, encoding="utf-8")
    assert "payroll-question" in {r.id for r in load_rules(own=tmp_path).rules}
    assert main([str(tmp_path)]) == 0, capsys.readouterr().out


def test_the_policy_loads() -> None:
    (text,) = blocks("yaml", "playbooks:")
    policy = parse_policy(text, "README.md")
    assert [playbook.name for playbook in policy.playbooks] == [
        "stop-the-leak",
        "hold-the-actor",
        "roll-the-model-back",
        "retrain-the-model",
    ]
    assert policy.tokens


def test_the_deployment_fits_into_prefect_yaml() -> None:
    text, _ = blocks("yaml", "entrypoint:")
    added = yaml.safe_load((ROOT / "prefect.yaml").read_text().rstrip() + "\n\n" + text)["deployments"][-1]
    imported(added["entrypoint"])
    assert added["work_pool"]["name"] == "firebreak"
    scan = next(
        d for d in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"] if "concurrency_limit" in d
    )
    assert added["concurrency_limit"] == scan["concurrency_limit"]


def test_the_logs_fields_and_aliases_are_all_there() -> None:
    assert [names(field)[0] for field, _, _ in table("Field", "Type", "Meaning")] == list(FIELDS)
    assert {names(field)[0]: tuple(names(aliases)) for field, aliases in table("Field", "Aliases")} == ALIASES


def test_the_shipped_rules_are_all_there() -> None:
    said = {names(rule)[0]: (severity, actor) for rule, severity, actor in table("Rule", "Severity", "Blames")}
    assert said == {rule.id: (rule.severity.value, rule.actor.value) for rule in load_rules().everything}


def test_links_within_the_page_and_pictures_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT):
        assert (ROOT / picture).is_file(), picture
