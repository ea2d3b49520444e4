"""The SafeGene client: find, pull, check, recalibrate and apply safety vectors.

Importing it loads no torch; what needs torch imports it when it is called.
"""

from safegene_client.answers import (
    CompatibilityAnswer,
    ExchangedToken,
    Match,
    ResolvedVersion,
    VectorDetail,
    VectorSummary,
)
from safegene_client.client import Registry
from safegene_client.identity import find_jwt
from safegene_client.pulled import PulledVector
from safegene_client.searching import Evaluated
from safegene_client.settings import Settings

__all__ = [
    "CompatibilityAnswer",
    "Evaluated",
    "ExchangedToken",
    "Match",
    "PulledVector",
    "Registry",
    "ResolvedVersion",
    "Settings",
    "VectorDetail",
    "VectorSummary",
    "find_jwt",
]
