"""Reading one rule file: YAML held to the models of ``rule_file.py``, and names held to what exists."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from sigma.exceptions import SigmaError
from sigma.rule.base import SigmaYAMLLoader, check_alias_expansion

from firebreak.detectors.frameworks import TAGS
from firebreak.detectors.rule_file import AnyFile, RuleFile

_LARGEST_FILE = 100_000
_OTHER_SIGMA = {"filter": "filters", "action": "rule collections"}

File = TypeVar("File", bound=AnyFile)


class RuleError(ValueError):
    """A rule that can't be loaded: in which file, under which key, what is wrong, and what is allowed."""

    def __init__(self, file: str, key: str, problem: str, allowed: str) -> None:
        super().__init__(f"{file}: {key or 'file'}: {problem}. Allowed: {allowed}")
        self.file, self.key, self.problem, self.allowed = file, key, problem, allowed


def read_document(file: Path) -> dict[str, Any]:
    """The YAML of a file, which holds one Sigma rule or one Sigma correlation. Errors: RuleError."""
    try:
        text = file.read_bytes().decode("utf-8")
        if len(text) > _LARGEST_FILE:
            raise RuleError(str(file), "", f"{len(text)} characters", f"at most {_LARGEST_FILE}")
        document = yaml.load(text, SigmaYAMLLoader)  # noqa: S506 - a subclass of the safe loader
        check_alias_expansion(document)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, SigmaError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, RuleError):
            raise
        raise RuleError(str(file), "", f"can't be read: {error}", "one Sigma rule in YAML, UTF-8") from None
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise RuleError(str(file), "", "is not a map of keys", ", ".join(RuleFile.model_fields))
    for key, what in _OTHER_SIGMA.items():
        if key in document:
            raise RuleError(str(file), key, f"Sigma {what} are not supported", ", ".join(RuleFile.model_fields))
    return document


def read_keys(file: Path, document: dict[str, Any], model: type[File], models: Mapping[str, type[BaseModel]]) -> File:
    """The file's keys, typed; ``models`` says which keys may stand below a key. Errors: RuleError."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    named = [str(step) for step in first["loc"]]
    above = [step for step in first["loc"][:-1] if isinstance(step, str)]
    context = first.get("ctx", {})
    allowed = str(context.get("expected") or context.get("pattern") or first["msg"])
    if first["type"] in ("extra_forbidden", "missing"):
        parent = models.get(above[-1]) if above else model
        allowed = ", ".join(parent.model_fields) if parent else first["msg"]
    raise RuleError(str(file), ".".join(named), first["msg"], allowed)


def check_names(file: Path, content: AnyFile, fields: Mapping[str, Any]) -> None:
    """That the name is the file's, the tags exist, and each runbook step looks at a field there is."""
    expected = file.stem.replace("_", "-")
    if content.name != expected:
        raise RuleError(str(file), "name", f"`{content.name}` is not the file's name", expected)
    for tag in content.tags:
        if tag not in TAGS:
            raise RuleError(str(file), "tags", f"no tag `{tag}`", ", ".join(TAGS))
    for prefix in ("atlas.", "owasp."):
        if not any(tag.startswith(prefix) for tag in content.tags):
            raise RuleError(str(file), "tags", f"has no tag of {prefix[:-1]}", f"one {prefix}… or more")
    for number, step in enumerate(content.firebreak.runbook):
        if step.field not in fields:
            key = f"firebreak.runbook.{number}.field"
            raise RuleError(str(file), key, f"no field `{step.field}`", ", ".join(fields))
