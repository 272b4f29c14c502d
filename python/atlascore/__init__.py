"""AtlasCore: MITRE ATLAS techniques as running Sigma rules, microseconds per model query.

import atlascore as ac

policy = ac.Policy.default(mode="enforce")
engine = ac.Engine(policy)
route = engine.route(model="fraud-v3", method="predict", endpoint="/v1/models/fraud-v3:predict")
decision = route.decide("key-42", x)
if decision.action < ac.Action.BLOCK:
    ...
"""

from atlascore import similarity, windows
from atlascore._core import Decision, Route
from atlascore._version import __version__
from atlascore.constraints import Constraints
from atlascore.engine import Engine
from atlascore.errors import LogError, PolicyError, RuleError
from atlascore.events import Action
from atlascore.policy import Policy
from atlascore.scanning import scan

__all__ = [
    "Action",
    "Constraints",
    "Decision",
    "Engine",
    "LogError",
    "Policy",
    "PolicyError",
    "Route",
    "RuleError",
    "__version__",
    "scan",
    "similarity",
    "windows",
]
