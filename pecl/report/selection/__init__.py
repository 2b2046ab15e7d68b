"""The results that tables and figures show: which of them were measured alike, and which represents a row."""
