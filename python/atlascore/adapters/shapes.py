"""The bodies of known inference routes: what is asked, what came back, and how both are edited.

`find` names the shape of a route; a shape reads and edits decoded JSON documents and knows nothing of HTTP.
Editing happens in place, so what no constraint touches goes back as it came. A document that is not what the
route promises raises ValueError.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from atlascore._core import json_numbers
from atlascore.constraints import Constraints

__all__ = ["Answer", "Endpoint", "Question", "Shape", "find"]

Document: TypeAlias = dict[str, Any]

_ROUND = Constraints(scores={"decimals": 0})


class Question(NamedTuple):
    """What a request asks: `x` is the input in one of the forms that Route.decide takes, `fields` are parameters
    that rules read."""

    model: str
    x: Any
    fields: Mapping[str, Any] = {}


class Answer(NamedTuple):
    """What came back, as Route.record takes it; None where the answer does not say."""

    label: Any = None
    scores: npt.NDArray[np.float64] | None = None
    text: str | None = None
    cost: float | None = None


class Shape:
    """One kind of route. `operation` is api.method, `refusal` the form of refusals (see refusal.py)."""

    operation = "predict"
    refusal = "problem"

    def ask(self, document: Document, model: str, features: Sequence[str]) -> Question:
        """The question. model: the one named in the path, if any; features: names of a row's columns."""
        raise NotImplementedError

    def ask_numbers(self, body: bytes, model: str) -> Question | None:
        """What `ask` would say of a body that asks about plain numbers, without decoding the rest of it; None for
        any other body, good or bad. Only for shapes that never edit a request."""
        return None

    def constrain_request(self, document: Document, constraints: Constraints) -> bool:
        """Edit the request; True when something changed."""
        return False

    def edits_request(self, constraints: Constraints) -> bool:
        """Whether `constrain_request` can change anything: then the whole body must be read."""
        return False

    def read_answer(self, document: Document) -> Answer:
        return Answer()

    def edits_answer(self, constraints: Constraints) -> bool:
        """Whether `constrain_answer` can change anything: then the answer must be held back."""
        return constraints.scores is not None

    def constrain_answer(self, document: Document, constraints: Constraints) -> bool:
        """Edit the answer; True when something changed."""
        return False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route that is known: its shape, and the model if the path names it."""

    shape: Shape
    model: str = ""


def find(method: str, path: str) -> Endpoint | None:
    """The inference route at a path, or None."""
    if method != "POST":
        return None
    shape = _PATHS.get(path)
    if shape is not None:
        return Endpoint(shape)
    match = _MODEL_PATH.fullmatch(path)
    if match is None:
        return None
    if match["v2"] is not None:
        return Endpoint(_OPEN_INFERENCE, match["v2"])
    return Endpoint(_EXPLAIN if match["verb"] == "explain" else _TENSORS, match["v1"])


# --- language models --------------------------------------------------------------------------------------


class _LanguageModel(Shape):
    """What the OpenAI and Anthropic routes share."""

    operation = "chat"
    refusal = "openai"
    max_tokens = "max_tokens"  # inserted when the caller gave no limit
    input_key = "messages"
    parameters: tuple[str, ...] = ()  # those handed over

    def ask(self, document: Document, model: str, features: Sequence[str]) -> Question:
        model = document.get("model", "")
        if not isinstance(model, str):
            raise ValueError('"model" is not a text')
        if self.input_key not in document:
            raise ValueError(f'"{self.input_key}" is missing')
        return Question(model, self._input(document[self.input_key]), self._fields(document))

    def _fields(self, document: Document) -> Document:
        """Parameters of the types that they should have; of `logit_bias` the tokens, as `logit_bias_ids`."""
        found: Document = {}
        for key in self.parameters:
            value = document.get(key)
            if key == "logit_bias":
                if value and isinstance(value, dict):
                    found["logit_bias_ids"] = list(value)
            elif isinstance(value, bool | int | float):
                found[key] = value
        return found

    def _input(self, value: Any) -> Any:
        return _prompt(value)

    def edits_request(self, constraints: Constraints) -> bool:
        limited = constraints.max_tokens is not None or constraints.n is not None
        return limited or constraints.drop_logprobs or "top_k" in (constraints.scores or ())

    def constrain_request(self, document: Document, constraints: Constraints) -> bool:
        if not self.edits_request(constraints):
            return False
        before = dict(document)
        if constraints.max_tokens is not None:
            given = [key for key in _MAX_TOKENS if document.get(key) is not None] or [self.max_tokens]
            _lower(document, given, constraints.max_tokens, insert=True)
        if constraints.n is not None:
            _lower(document, ("n", "best_of"), constraints.n)
        if constraints.scores is not None and "top_k" in constraints.scores:
            _lower(document, ("top_logprobs",), constraints.scores["top_k"])
        if constraints.drop_logprobs:
            for key in ("logprobs", "top_logprobs", "logit_bias", "echo"):
                document.pop(key, None)
            if isinstance(include := document.get("include"), list):
                document["include"] = [item for item in include if item != "message.output_text.logprobs"]
        return document != before

    def edits_answer(self, constraints: Constraints) -> bool:
        return constraints.drop_logprobs or constraints.scores is not None

    def constrain_answer(self, document: Document, constraints: Constraints) -> bool:
        scores = constraints.scores or {}
        holders = [holder for holder in self._logprob_holders(document) if holder.get("logprobs") is not None]
        for holder in holders:
            if constraints.drop_logprobs or "label_only" in scores:
                holder["logprobs"] = None
            elif "decimals" in scores:
                holder["logprobs"] = _rounded(holder["logprobs"], scores["decimals"])
        return bool(holders)

    def _logprob_holders(self, document: Document) -> Iterator[Document]:
        yield from _mappings(document.get("choices"))

    def _usage(self, document: Document) -> float | None:
        usage = document.get("usage")
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        return float(total) if isinstance(total, int) else None


class _Chat(_LanguageModel):
    parameters = ("logprobs", "top_logprobs", "logit_bias")

    def _input(self, value: Any) -> Any:
        return _new_turn(value)

    def read_answer(self, document: Document) -> Answer:
        messages = _mappings([choice.get("message") for choice in _mappings(document.get("choices"))])
        texts = [message.get("content") for message in messages]
        return Answer(text=_joined(texts), cost=self._usage(document))


class _Completions(_LanguageModel):
    operation = "text_completion"
    input_key = "prompt"
    parameters = ("logprobs", "logit_bias")

    def read_answer(self, document: Document) -> Answer:
        texts = [choice.get("text") for choice in _mappings(document.get("choices"))]
        return Answer(text=_joined(texts), cost=self._usage(document))


class _Responses(_LanguageModel):
    max_tokens = "max_output_tokens"
    input_key = "input"
    parameters = ("top_logprobs",)

    def _input(self, value: Any) -> Any:
        return value if isinstance(value, str) else _new_turn(value)

    def read_answer(self, document: Document) -> Answer:
        texts = [part.get("text") for part in self._logprob_holders(document)]
        return Answer(text=_joined(texts), cost=self._usage(document))

    def _logprob_holders(self, document: Document) -> Iterator[Document]:
        for item in _mappings(document.get("output")):
            yield from _mappings(item.get("content"))


class _Embeddings(_LanguageModel):
    operation = "embeddings"
    input_key = "input"

    def edits_request(self, constraints: Constraints) -> bool:
        return False

    def edits_answer(self, constraints: Constraints) -> bool:
        return "decimals" in (constraints.scores or ())

    def constrain_answer(self, document: Document, constraints: Constraints) -> bool:
        if constraints.scores is None or "decimals" not in constraints.scores:
            return False
        for item in _mappings(document.get("data")):
            item["embedding"] = _rounded_embedding(item.get("embedding"), constraints.scores["decimals"])
        return True

    def read_answer(self, document: Document) -> Answer:
        return Answer(cost=self._usage(document))


class _Anthropic(_LanguageModel):
    refusal = "anthropic"

    def _input(self, value: Any) -> Any:
        return _new_turn(value)

    def edits_answer(self, constraints: Constraints) -> bool:
        return False  # these answers hold no scores

    def read_answer(self, document: Document) -> Answer:
        usage = document.get("usage")
        counts = [usage.get(key) for key in ("input_tokens", "output_tokens")] if isinstance(usage, dict) else []
        tokens = [count for count in counts if isinstance(count, int)]
        texts = [part.get("text") for part in _mappings(document.get("content"))]
        return Answer(text=_joined(texts), cost=float(sum(tokens)) if tokens else None)


_MAX_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def _lower(document: Document, keys: Sequence[str], limit: int, insert: bool = False) -> None:
    """Numbers above the limit become the limit; `insert` also sets what is missing."""
    for key in keys:
        value = document.get(key)
        if (value is None and insert) or (isinstance(value, int | float) and value > limit):
            document[key] = limit


def _new_turn(messages: Any) -> str | None:
    """The text of what the caller adds: the user messages after the last answer of the model."""
    if not isinstance(messages, list):
        raise ValueError('"messages" is not a list')
    turn: list[str | None] = []
    for message in reversed(messages):
        if not isinstance(message, dict):
            raise ValueError("a message is not an object")
        if message.get("role") == "assistant":
            break
        if message.get("role", "user") == "user":
            turn.append(_text_of(message.get("content")))
    return _joined(turn[::-1])


def _text_of(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    return _joined([part.get("text") for part in _mappings(content)])


def _prompt(value: Any) -> Any:
    """A text, a batch of them, or token ids, which are known by their digest only."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value if len(value) > 1 else value[0]
    return _digest(value)


def _joined(texts: list[Any]) -> str | None:
    found = [text for text in texts if isinstance(text, str)]
    return "\n".join(found) if found else None


def _mappings(value: Any) -> list[Document]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _rounded(value: Any, decimals: int) -> Any:
    """Every float in a nest of lists and mappings, rounded half to even."""
    if isinstance(value, float):
        return float(np.round(value, decimals))
    if isinstance(value, list):
        return [_rounded(item, decimals) for item in value]
    if isinstance(value, dict):
        return {key: _rounded(item, decimals) for key, item in value.items()}
    return value


def _rounded_embedding(value: Any, decimals: int) -> Any:
    """An embedding as a list of floats, or as base64 of little-endian float32."""
    if isinstance(value, str):
        numbers = np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
        return base64.b64encode(np.round(numbers, decimals).astype("<f4").tobytes()).decode()
    return _rounded(value, decimals)


# --- model servers ----------------------------------------------------------------------------------------


class _Instances(msgspec.Struct, gc=False):
    """A body of which only the instances are looked at, and these are left as they are."""

    instances: msgspec.Raw


_INSTANCES = msgspec.json.Decoder(_Instances)


class _Tensors(Shape):
    """TensorFlow Serving and KServe v1: `instances` (rows) or `inputs` (columns)."""

    refusal = "model_server"

    def __init__(self, operation: str = "predict") -> None:
        self.operation = operation

    def ask(self, document: Document, model: str, features: Sequence[str]) -> Question:
        if "instances" in document:
            return Question(model, _rows(document["instances"], features))
        if "inputs" in document:
            return Question(model, _columns(document["inputs"], features))
        if "examples" in document:
            return Question(model, _rows(document["examples"], features))
        raise ValueError('neither "instances" nor "inputs"')

    def ask_numbers(self, body: bytes, model: str) -> Question | None:
        try:
            values = json_numbers(bytes(_INSTANCES.decode(body).instances))
        except (msgspec.MsgspecError, RecursionError):
            return None
        if values is None:
            return None
        return Question(model, values if values.ndim == 2 else values.reshape(len(values), -1))

    def read_answer(self, document: Document) -> Answer:
        for key in ("predictions", "outputs", "result"):
            if key in document:
                return _scores_or_labels(document[key])
        return Answer()

    def constrain_answer(self, document: Document, constraints: Constraints) -> bool:
        keys = [key for key in ("predictions", "outputs", "result", "scores") if key in document]
        for key in keys:
            document[key] = _coarsened(document[key], constraints, vector=key == "scores")
        return bool(keys)


class _Mlflow(_Tensors):
    def ask(self, document: Document, model: str, features: Sequence[str]) -> Question:
        if "dataframe_records" in document:
            return Question(model, _rows(document["dataframe_records"], features))
        if "dataframe_split" in document:
            split = document["dataframe_split"]
            if not isinstance(split, dict) or not isinstance(split.get("data"), list):
                raise ValueError('"dataframe_split" without "data"')
            return Question(model, _rows(split["data"], split.get("columns") or features))
        return super().ask(document, model, features)

    def ask_numbers(self, body: bytes, model: str) -> Question | None:
        return None  # dataframes come before instances


class _OpenInference(Shape):
    """KServe v2: named tensors with shape and datatype, data nested or flat in row-major order."""

    refusal = "model_server"

    def ask(self, document: Document, model: str, features: Sequence[str]) -> Question:
        tensors = document.get("inputs")
        if not isinstance(tensors, list) or not tensors or len(_mappings(tensors)) != len(tensors):
            raise ValueError('"inputs" is not a list of tensors')
        if any(tensor.get("datatype") == "BYTES" for tensor in tensors):
            if len(tensors) == 1:
                return Question(model, _prompt(_flat(tensors[0].get("data"))))
            columns = {str(tensor.get("name")): _flat(tensor.get("data")) for tensor in tensors}
            return Question(model, _columns(columns, features))
        parts = [self._matrix(tensor) for tensor in tensors]
        return Question(model, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))

    def _matrix(self, tensor: Document) -> npt.NDArray[np.float32]:
        values = np.asarray(tensor.get("data"), dtype=np.float32)
        shape = tensor.get("shape")
        if isinstance(shape, list) and shape and all(isinstance(side, int) and side > 0 for side in shape):
            return values.reshape(shape[0], -1) if values.size == int(np.prod(shape)) else _refuse_shape(shape)
        raise ValueError(f'"shape" {shape!r} is not a list of positive integers')

    def read_answer(self, document: Document) -> Answer:
        for tensor in _mappings(document.get("outputs")):
            data, shape = tensor.get("data"), tensor.get("shape")
            if str(tensor.get("datatype")).startswith("FP") and isinstance(shape, list) and len(shape) == 2:
                return Answer(scores=np.asarray(data, dtype=np.float64).reshape(shape))
            if data:
                flat = _flat(data)
                return Answer(label=flat[0] if len(flat) == 1 else flat)
        return Answer()

    def constrain_answer(self, document: Document, constraints: Constraints) -> bool:
        changed = False
        for tensor in _mappings(document.get("outputs")):
            if str(tensor.get("datatype")).startswith("FP") and isinstance(tensor.get("shape"), list):
                values = np.asarray(tensor.get("data"), dtype=np.float64)
                edited = _coarsened_array(values.reshape(tensor["shape"]), constraints)
                tensor["data"] = edited.reshape(values.shape).tolist()
                changed = True
        return changed


def _refuse_shape(shape: list[int]) -> npt.NDArray[np.float32]:
    raise ValueError(f'"data" does not fill shape {shape}')


def _rows(instances: Any, features: Sequence[str]) -> Any:
    """N instances: numbers as (N, d) float32, mappings as rows, texts as texts, the rest as its digest."""
    if not isinstance(instances, list) or not instances:
        raise ValueError("the instances are not a list")
    first = instances[0]
    if isinstance(first, dict):
        if set(first) == {"b64"}:
            return _digest(instances)
        return first if len(instances) == 1 else instances
    if isinstance(first, str):
        return _prompt(instances)
    try:
        values = np.array(instances, dtype=np.float32)
    except (ValueError, TypeError):  # texts among numbers, or rows of unequal length
        if isinstance(first, list) and features and all(len(row) == len(features) for row in instances):
            rows = [dict(zip(features, row, strict=True)) for row in instances]
            return rows[0] if len(rows) == 1 else rows
        return _digest(instances)
    return values.reshape(len(instances), -1)


def _columns(inputs: Any, features: Sequence[str]) -> Any:
    """One tensor, or columns by name."""
    if not isinstance(inputs, dict):
        return _rows(inputs if isinstance(inputs, list) else [inputs], features)
    if len(inputs) == 1:
        (only,) = inputs.values()
        return _rows(only if isinstance(only, list) else [only], features)
    columns = [value if isinstance(value, list) else [value] for value in inputs.values()]
    if not columns or any(len(column) != len(columns[0]) for column in columns):
        return _digest(inputs)
    rows = [dict(zip(inputs, values, strict=True)) for values in zip(*columns, strict=True)]
    return rows[0] if len(rows) == 1 else rows


def _digest(value: Any) -> bytes:
    """The bytes by which an input is known that only compares whole."""
    return msgspec.json.encode(value, order="deterministic")


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [leaf for item in value for leaf in _flat(item)]


def _scores_or_labels(predictions: Any) -> Answer:
    if isinstance(predictions, dict) and len(predictions) == 1:
        (predictions,) = predictions.values()
    values = _as_array(predictions)
    if values is not None and values.ndim == 2:
        return Answer(scores=values)
    if values is None and not isinstance(predictions, list):
        return Answer()
    if values is None and not all(isinstance(item, str | int) for item in predictions):
        return Answer()
    return Answer(label=predictions[0] if len(predictions) == 1 else predictions)


def _as_array(value: Any) -> npt.NDArray[np.float64] | None:
    """A list of numbers, or a rectangular nest of such lists; None for anything else."""
    if not isinstance(value, list):
        return None
    try:
        array = np.array(value)
    except ValueError:
        return None
    return array if array.dtype.kind == "f" else None


def _coarsened(value: Any, constraints: Constraints, vector: bool = False) -> Any:
    """Scores wherever they are in an answer. A flat list holds one number per instance, or, with `vector`,
    the scores of one instance."""
    array = _as_array(value)
    if array is not None:
        return _coarsened_array(array[np.newaxis] if vector else array, constraints).reshape(array.shape).tolist()
    if isinstance(value, list):
        return [_coarsened(item, constraints, vector=True) for item in value]
    if isinstance(value, dict):
        return {key: _coarsened(item, constraints, vector) for key, item in value.items()}
    return value


def _coarsened_array(values: npt.NDArray[np.float64], constraints: Constraints) -> npt.NDArray[np.float64]:
    """(..., C) score rows, or (N,) single numbers; these have no classes and become whole for label_only."""
    if values.size == 0:
        return values
    if values.ndim >= 2:
        rows = constraints.apply_scores(values.reshape(-1, values.shape[-1]))
    else:
        only = _ROUND if "label_only" in (constraints.scores or ()) else constraints
        rows = only.apply_scores(values.reshape(-1, 1))
    return rows.reshape(values.shape)


_CHAT = _Chat()
_TENSORS = _Tensors()
_EXPLAIN = _Tensors("explain")
_OPEN_INFERENCE = _OpenInference()
_PATHS: dict[str, Shape] = {
    "/v1/chat/completions": _CHAT,
    "/v1/completions": _Completions(),
    "/v1/responses": _Responses(),
    "/v1/embeddings": _Embeddings(),
    "/v1/messages": _Anthropic(),
    "/invocations": _Mlflow(),
}
_MODEL_PATH = re.compile(
    r"/v1/models/(?P<v1>[^/:]+)(/versions/[^/:]+)?:(?P<verb>predict|explain|classify|regress)"
    r"|/v2/models/(?P<v2>[^/]+)(/versions/[^/]+)?/infer"
)
