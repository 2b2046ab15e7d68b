"""Embedding in bulk: any number of images or texts into a folder of files, in shards that a killed command keeps."""
