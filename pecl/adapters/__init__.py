"""Adapters: small sets of trainable parameters, one set a slot, on a frozen text tower."""
