"""Workloads: for one promise each, what is asked, how, and which checker judges it."""
