"""Search in a folder of photographs: `build` makes and renews an index, `index` searches in it."""
