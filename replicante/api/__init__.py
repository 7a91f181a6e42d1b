"""HTTP over aiohttp: wire requests become commands and queries, outcomes become wire answers."""
