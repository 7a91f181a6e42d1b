"""Every error a caller can meet, as one tree.

The class docstring is the default message. `code` is stable and appears in problem+json;
`http_status` is what the API answers; `definite` says whether the refused operation certainly
did not happen. A user mistake inside apply is never raised: it is a `Rejected` value.
"""

from __future__ import annotations

from replicante.errors.base import *
from replicante.errors.client import *
from replicante.errors.consensus import *
from replicante.errors.http import *
from replicante.errors.peer import *
from replicante.errors.requests import *
