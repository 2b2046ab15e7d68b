"""Parameter-efficient cross-lingual transfer of CLIP: one frozen text tower, a few parameters a language."""
