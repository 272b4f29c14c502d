"""Decision entries from the specification alone: plain dicts and json.dumps.

`json.dumps(sort_keys=True, separators=(",", ":"), ensure_ascii=False)` is RFC 8785 for what entries hold:
ASCII member names, integers below 2**53, and strings without lone surrogates.
"""

import hashlib
import hmac
import json
import math

ACTIONS = ["ALLOW", "LOG", "CONSTRAIN", "BLOCK"]
LIMIT = 8_192


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def clean(raw, limit=128):
    text = raw.decode("utf-8", "replace")
    kept = ""
    for character in text:
        if len((kept + character).encode()) > limit:
            break
        kept += character
    return kept


def real(value):
    """The fewest digits that read back, in the shorter of fixed and scientific form; fixed when equal."""
    text = repr(value)
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(exponent or 0) + len(whole) - (len(whole + fraction) - len(digits))  # before digits[point]
    digits = digits.rstrip("0") or "0"
    if digits == "0":
        return sign + "0"
    power = point - 1
    scientific = (
        digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + f"e{'-' if power < 0 else '+'}{abs(power):02d}"
    )
    if point <= 0:
        fixed = "0." + "0" * -point + digits
    elif point >= len(digits):
        fixed = str(int(float(text)))
    else:
        fixed = digits[:point] + "." + digits[point:]
    return sign + (fixed if len(fixed) <= len(scientific) else scientific)


def entry(instance, sequence, policy, record, dropped=0):
    out = {
        "v": 1,
        "kind": "decision",
        "t": record["t"],
        "mono": record["mono"] // 1000,
        "inst": f"{instance:016x}",
        "prod": 1,
        "pseq": sequence,
        "phase": record["phase"],
        "action": record["action"],
        "simulated": record["simulated"],
        "lat": record["latency"],
        "policy": policy["hash"][:8].hex(),
    }
    if record["simulated"]:
        out["would"] = record["would"]
    for name in ("model", "route", "method", "endpoint", "allowed_by"):
        if record[name]:
            out[name] = clean(record[name])
    if record["step"]:
        out["step"] = record["step"]
        if record["step_name"]:
            out["step_name"] = clean(record["step_name"])
    for name in ("principal", "session"):
        if any(record[name]):
            out[name] = record[name].hex()
    if record["request"] and all(0x20 <= byte < 0x7F for byte in record["request"]):
        out["req"] = record["request"].decode()
    if record["rows"] > 1:
        out["rows"] = record["rows"]
    if "guard" in record:
        out["outcome"] = "guard_error"
        out["failure"] = "closed" if record["closed"] else "open"
        out["guard"] = {"kind": record["guard"], "stage": record["stage"]}
    constraints = {}
    for bit, (name, value) in enumerate(policy["constraints"]):
        if record["constraints"] >> bit & 1:
            constraints.setdefault(name, json.loads(value))
    if constraints:
        out["constraints"] = constraints
    rules = [explain(policy, record, position, matched) for position, matched in enumerate(record["rules"])]
    rules.sort(key=lambda rule: (-ACTIONS.index(rule["action"]), rule["id"].encode()))
    if rules:
        out["rules"] = rules
    techniques = {t for matched in record["rules"] for t in policy["rules"][matched["rule"]]["techniques"]}
    if techniques:
        out["atlas"] = sorted(techniques)
        out["atlas_release"] = policy["atlas_release"]
    if record["trimmed"]:
        out["trimmed"] = True
    return trim(out)


def explain(policy, record, position, matched):
    rule = {
        "id": policy["rules"][matched["rule"]]["id"],
        "action": matched["action"],
        "mode": matched["mode"],
    }
    signals = {}
    for signal in record["signals"]:
        if signal["rules"] >> position & 1 and math.isfinite(signal["value"]):
            signals.setdefault(policy["signals"][signal["signal"]], real(signal["value"]))
    if signals:
        rule["signals"] = signals
    return rule


def trim(out):
    """Drops one thing after the other until the entry fits."""
    rules = out.get("rules", [])
    steps = [lambda rule=rule: rule.pop("signals", None) for rule in reversed(rules)]
    steps += [lambda: rules.__delitem__(slice(4, None)), lambda: out.pop("endpoint", None)]
    steps += [lambda: out.pop("method", None)]
    steps += [lambda: (out.pop("constraints", None), out.pop("rules", None))]
    for step in steps:
        if len(canonical(out)) <= LIMIT:
            break
        step()
        out["trimmed"] = True
    return canonical(out)


def commitment(salt, name):
    return hmac.digest(salt, name, "sha256")[:16]


def decision_id_key(salt):
    extracted = hmac.digest(bytes(32), salt, hashlib.sha256)
    return hmac.digest(extracted, b"atlascore decision id\x01", hashlib.sha256)[:16]
