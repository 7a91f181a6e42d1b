"""The demo: the main job on real Redis servers, live, proved by the report that it leaves."""
