"""Embedding in bulk: any number of images or texts into a folder of parquet shards; a killed command resumes."""
