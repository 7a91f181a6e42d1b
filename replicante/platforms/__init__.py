"""The platforms that know, make and remove nodes: how they are asked."""
