"""The policy file: how it is read (section, units, parse), what it says (document) and means (resolve)."""
