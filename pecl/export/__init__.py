"""A trained language in the tools that people have: sentence-transformers, open_clip, ONNX, PEFT and the model hub."""
