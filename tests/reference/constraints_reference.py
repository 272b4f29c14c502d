"""What the score constraints do, one number at a time (the constraints table of the specification)."""

import math


def top(row):
    """Position of the highest score, the first of equal ones; None if all are NaN."""
    best = None
    for i, score in enumerate(row):
        if not math.isnan(score) and (best is None or score > row[best]):
            best = i
    return best


def label_only(row):
    if len(row) == 1:
        return [score if math.isnan(score) else float(score >= 0.5) for score in row]
    best = top(row)
    return [score if math.isnan(score) else float(i == best) for i, score in enumerate(row)]


def top_k(row, k):
    best = top(row)
    if best is None:
        return list(row)
    lowest = min(score for score in row if not math.isnan(score))
    fill = lowest if row[best] <= 0 else 0.0
    kept = sorted((i for i, score in enumerate(row) if not math.isnan(score)), key=lambda i: (-row[i], i))[:k]
    return [score if math.isnan(score) or i in kept else fill for i, score in enumerate(row)]


def decimals(row, d):
    def rounded(score):
        scaled = score * 10.0**d
        if math.isnan(score) or math.isinf(scaled) or math.ulp(score) >= 10.0**-d:
            return score
        return round(scaled) / 10.0**d

    best = top(row)
    out = [rounded(score) for score in row]
    for i, score in enumerate(row):
        if best is not None and score < row[best] and out[i] >= out[best]:
            out[i] = min(out[best] - 10.0**-d, math.nextafter(out[best], -math.inf))
    return out
