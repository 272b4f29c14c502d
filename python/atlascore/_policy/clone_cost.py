"""How many queries a copy of a model takes: declared, or estimated from what kind of model it is."""

from __future__ import annotations

from math import prod

from atlascore._policy.section import Section

__all__ = ["extraction_budget"]

_MOST = 2**53
_UNPROTECTABLE = 1_000  # queries: fewer than any test of a stream needs
_SIZES = {"linear": (), "softmax": (), "trees": ("trees", "leaves", "depth"), "net": ("parameters",)}


def extraction_budget(model: Section, classes: int | None, width: int | None) -> int | None:
    """`extraction_budget: 20000`, or a mapping with `queries`: a number, or `auto` with `family` and its sizes.

    width: numbers in one input, None when the policy does not say.
    """
    key = "extraction_budget"
    mapped = model.is_map(key)
    budget = _of_section(model.section(key), classes, width) if mapped else model.integer(key, 1, _MOST)
    if budget is not None and budget < _UNPROTECTABLE:
        message = f"{budget:,} queries make a copy of this model: too few for any monitoring to protect it"
        model.warn_at(key, message, "return labels only, or let few callers ask it", "unprotectable-model")
    return budget


def _of_section(section: Section, classes: int | None, width: int | None) -> int | None:
    automatic = section.text("queries") == "auto"
    if "queries" not in section:
        section.report('missing "queries"', "write a number, or auto")
    queries = _estimate(section, classes, width) if automatic else section.integer("queries", 1, _MOST)
    section.close()
    return queries


def _estimate(section: Section, classes: int | None, width: int | None) -> int | None:
    """As many as there are unknowns; ten for each parameter of a network."""
    family = section.required_choice("family", _SIZES)
    sizes = {name: section.integer(name, 1, 2**31 - 1) for name in _SIZES[family]}
    for name in sizes:
        if name not in section:
            section.report(f'missing "{name}"', f'family "{family}" needs {" and ".join(sizes)}')
    given = [size for size in sizes.values() if size is not None]
    if family == "trees":
        return prod(given)
    if family == "net":
        return 10 * prod(given)
    if width is None:
        section.report("the number of features is not known", 'declare "input.features" or "input.shape"')
        return None
    if family == "softmax" and classes is None:
        section.report("the number of classes is not known", 'declare "classes"')
    return (width + 1) * (classes or 1 if family == "softmax" else 1)
