"""Who is primary, who could be, and who says otherwise."""
