"""The table of every path of the API, in the order of the reference page."""

from __future__ import annotations

from replicante.api import (
    routes_actions,
    routes_backup,
    routes_batch,
    routes_clusters,
    routes_consumers,
    routes_events,
    routes_explain,
    routes_introspect,
    routes_kv,
    routes_leases,
    routes_levels,
    routes_members,
    routes_objects,
    routes_queue_admin,
    routes_queues,
    routes_requests,
    routes_retention,
    routes_status,
    routes_txn,
)
from replicante.api.routing import Route

ROUTES: tuple[Route, ...] = (
    *routes_kv.ROUTES,
    *routes_txn.ROUTES,
    *routes_batch.ROUTES,
    *routes_leases.ROUTES,
    *routes_levels.ROUTES,
    *routes_queues.ROUTES,
    *routes_queue_admin.ROUTES,
    *routes_objects.ROUTES,
    *routes_clusters.ROUTES,
    *routes_explain.ROUTES,
    *routes_actions.ROUTES,
    *routes_events.ROUTES,
    *routes_consumers.ROUTES,
    *routes_retention.ROUTES,
    *routes_requests.ROUTES,
    *routes_status.ROUTES,
    *routes_members.ROUTES,
    *routes_backup.ROUTES,
    *routes_introspect.ROUTES,
)
