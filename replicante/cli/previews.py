"""Asks what `apply` would do with documents, one after the other, as if those before were applied.
Called by `objects` for `diff` and for dry runs.

Rule: the control plane judges each document. Only what it misses there, and an earlier document of
the same command declares, is taken for given.
"""

from __future__ import annotations

import msgspec

from replicante.cli.documents import Document
from replicante.client import Client, Write
from replicante.errors import UnknownScope
from replicante.ids import Stamp, format_stamp
from replicante.model.objects import API_VERSION, StoredObject, read_declaration, render_object
from replicante.wire.objects import ApplyAnswer


class Previews:
    """Of one command."""

    def __init__(self, client: Client, write: Write) -> None:
        self._client = client
        self._write = write
        self._declared: set[tuple[str, tuple[str, ...]]] = set()

    async def of(self, document: Document) -> ApplyAnswer:
        """What apply would answer. Raises as `objects.apply`."""
        try:
            answer = await self._client.objects.apply(
                document.body, is_dry_run=True, write=self._write
            )
        except UnknownScope as exc:
            # It was checked before its place was looked for: only the place is missing.
            if not self._is_declared_before(document, missing=str(exc.details.get("kind"))):
                raise
            answer = _new(document)
        if not document.is_action:
            self._declared.add((document.kind, document.scope))
        return answer

    def _is_declared_before(self, document: Document, *, missing: str) -> bool:
        """missing: the kind of the first that does not exist; what is below it exists neither."""
        places = document.places
        kinds = [kind for kind, _ in places]
        if missing.lower() not in kinds:
            return False
        return self._declared.issuperset(places[kinds.index(missing.lower()) :])


def _new(document: Document) -> ApplyAnswer:
    """In the words of the control plane, which has judged what it says."""
    if document.is_action:
        spec = document.body.get("spec") or {}
        rendered = {
            "apiVersion": API_VERSION,
            "kind": document.kind,
            "metadata": {"name": spec.get("action_id", "(new)")},
            "spec": spec,
            "status": "PENDING",
            "revision": format_stamp(0),
        }
    else:
        declared = read_declaration(document.body)
        stored = StoredObject(
            kind=declared.kind,
            scope=declared.scope,
            revision=Stamp(0),
            created=Stamp(0),
            is_deleting=False,
            finalisers=declared.finalisers,
            labels=declared.labels,
            spec=declared.spec,
        )
        rendered = render_object(stored)
    return msgspec.convert({**rendered, "is_created": True, "is_dry_run": True}, ApplyAnswer)
