"""Search in a folder of photographs: `build` creates and updates an index, `index` searches in it."""
