"""Diagnostics: every log event name and every metric is declared here, once."""
