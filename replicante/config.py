"""Settings of one peer, frozen; config_load.py reads them. Pure."""
