"""What becomes of proposals and of what people ask for: actions, and which of them leave now."""
