"""The nouns of the domain, frozen and pure."""
