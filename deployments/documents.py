"""Block documents that bootstrap writes, and never writes over once somebody changed them.

A document is bootstrap's own while its content's digest is the one kept in `<home>/bootstrap.json`.
"""

import hashlib
import json
from typing import Any, TypeVar

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound

NAME = "firebreak"
B = TypeVar("B", bound=Block)


def sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


class Documents:
    """Writes block documents; `written` maps slug (and name, where it isn't `firebreak`) to the last digests."""

    def __init__(self, client: SyncPrefectClient, written: dict[str, Any], overwrite: bool) -> None:
        self._client = client
        self._written = written
        self._overwrite = overwrite

    def put(self, block: Block, name: str = NAME) -> str:
        """Create or update the document, unless somebody changed it. Returns what was done, in a word or two."""
        slug = type(block).get_block_type_slug()
        key = slug if name == NAME else f"{slug}/{name}"
        wanted = sha256(_wanted(block))
        former = self._written.get(key, {})
        now = self.find(slug, name)
        if now is not None and not self._overwrite:
            if former.get("stored") != sha256(_content(now)):
                return "kept: changed by somebody (--overwrite replaces it)"
            if former.get("wanted") == wanted:
                return "unchanged"
        block.save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]  # prefect's async_dispatch adds it
        stored = self.find(slug, name)
        assert stored is not None
        self._written[key] = {"wanted": wanted, "stored": sha256(_content(stored))}
        return "updated" if now else "created"

    def find(self, slug: str, name: str = NAME) -> BlockDocument | None:
        try:
            return self._client.read_block_document_by_name(name, slug, include_secrets=True)
        except ObjectNotFound:
            return None

    def load(self, kind: type[B]) -> B:
        """The stored document as a block, so that another can refer to it."""
        block = kind.load(NAME, _sync=True)  # type: ignore[call-arg]
        assert isinstance(block, kind)
        return block


def _wanted(block: Block) -> dict[str, Any]:
    """What we would write; a nested document counts as a reference, its content is its own affair."""
    content: dict[str, Any] = {}
    for field in type(block).model_fields:
        value = getattr(block, field)
        if isinstance(value, Block):
            value = str(value._block_document_id)
        elif hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        content[field] = value
    return content


def _content(document: BlockDocument) -> dict[str, Any]:
    nested = {
        name: str(reference["block_document"]["id"]) for name, reference in document.block_document_references.items()
    }
    return {**document.data, **nested}
