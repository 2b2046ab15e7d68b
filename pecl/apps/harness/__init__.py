"""Evaluation by mteb and CLIP_benchmark, on pecl's data and with pecl's banks."""
