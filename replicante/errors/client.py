"""The client's side: no peer said this. Pure."""

from __future__ import annotations

from replicante.errors.base import ReplicanteError
from replicante.errors.consensus import ConsensusError


class Unreachable(ConsensusError):
    """No endpoint could be reached, so nothing was done. Check the addresses, and that the
    peers run."""

    code, http_status, definite = "unreachable", 503, True


class LeaseLost(ReplicanteError):
    """The lease ran out or was taken away while it was in use. What was done under it may overlap
    with what the next holder does, except where tokens are checked."""

    code, http_status, definite = "lease_lost", 409, False


class BadAnswer(ReplicanteError):
    """What answered does not speak as a peer does. Check that the endpoint is one, and that
    nothing between changes its answers."""

    code, http_status, definite = "bad_answer", 502, False
