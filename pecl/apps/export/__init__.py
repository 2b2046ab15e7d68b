"""Exports of a trained language: sentence-transformers, open_clip, ONNX, PEFT, immich and the model hub."""
