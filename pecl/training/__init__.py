"""Training of the slots of an adapter."""
