"""AtlasCore's JSON lines, read with json.loads: fields by path, arguments by name, order by sorting."""

import json

KNOWN_TEXTS = ("principal", "model", "method", "endpoint", "session")
INT64 = range(-(2**63), 2**64)


def scalar(value):
    """Strings without lone surrogates; numbers that fit nowhere as their text."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, int) and not isinstance(value, bool) and value not in INT64:
        return str(value)
    return value


def elements(value):
    """The scalars and objects of an array, arrays inside it joined."""
    for item in value:
        if isinstance(item, list):
            yield from elements(item)
        else:
            yield item


def paths(value, prefix="", segments=0, inside_array=False):
    """(path, segments, value or list of values) of everything below an object, in the order of the line."""
    for key, item in value.items():
        path = f"{prefix}.{scalar(key)}" if prefix is not None and segments else scalar(key)
        if isinstance(item, dict):
            yield from paths(item, path, segments + 1, inside_array)
        elif isinstance(item, list):
            found = {}
            gather(item, path, segments + 1, found)
            for (inner, depth), values in found.items():
                yield inner, depth, values
        else:
            yield path, segments + 1, scalar(item)


def gather(items, path, segments, found):
    values = found.setdefault((path, segments), [])
    for item in elements(items):
        if isinstance(item, dict):
            for inner, depth, value in paths(item, path, segments):
                into = found.setdefault((inner, depth), [])
                if isinstance(value, list):
                    into.extend(value)
                else:
                    into.append(value)
        else:
            values.append(scalar(item))


def fields(line, wanted):
    """The values of the wanted fields; Ellipsis where the line has none."""
    best = {}
    for path, segments, value in paths(json.loads(line)):
        if path in wanted and (path not in best or segments <= best[path][0]):
            best[path] = segments, value
    return [best[name][1] if name in best else ... for name in wanted]


def in_order(times, lateness):
    """(index, late) of the events as they come out: once one younger by `lateness` is in, or at the end."""
    waiting, out, newest, given = [], [], float("-inf"), float("-inf")

    def give(everything):
        nonlocal given
        while waiting and (everything or min(waiting)[0] + lateness <= newest):
            time, index = min(waiting)
            waiting.remove((time, index))
            out.append((index, time < given))
            given = max(given, time)

    for index, time in enumerate(times):
        newest = max(newest, time)
        waiting.append((time, index))
        give(False)
    give(True)
    return out
