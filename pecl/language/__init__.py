"""Languages: their table, detection, normal form, other scripts, missing marks and capitals, and mixed captions."""
