"""The applications: programs and formats that use the library. The library imports nothing from here."""
