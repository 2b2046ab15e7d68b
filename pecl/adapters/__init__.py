"""Adapters: small sets of trainable parameters, one set per slot, on a frozen text tower."""
