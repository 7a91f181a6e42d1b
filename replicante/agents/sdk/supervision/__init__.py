"""Starts and stops the service of a data store through who supervises it on its machine."""
