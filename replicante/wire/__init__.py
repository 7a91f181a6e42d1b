"""What the HTTP API and its client both speak: requests, answers, problem codes, headers.

Structs are frozen. Answers ignore unknown fields when decoded (a newer peer may add some);
requests are checked strictly by `api.bodies`. Stamps (revision, event id, …) are decimal strings
of 19 digits, durations are strings as `30s`, times are RFC 3339 UTC.
"""
