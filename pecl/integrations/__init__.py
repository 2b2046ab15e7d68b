"""Classes that other packages embed with; each module needs the package of its name."""
