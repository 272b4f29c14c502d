"""The version, in one place: pyproject, CMake and the core read it from here."""

__version__ = "0.1.0"
