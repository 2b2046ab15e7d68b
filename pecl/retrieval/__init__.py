"""Retrieval: ranks, recall and their intervals."""
