"""The agents beside the data store nodes: how they are asked, and what their answers mean."""
