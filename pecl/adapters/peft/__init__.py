"""The engine peft: PEFT's own methods on a text tower. PEFT is imported on use; it is an optional extra."""
