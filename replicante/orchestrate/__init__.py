"""Decides what is to be done for a cluster: values in, values out. Pure; see DESIGN.md."""
