"""What the HTTP API and its client both speak: requests, answers, problem codes, headers."""
