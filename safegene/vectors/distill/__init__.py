"""Distills a safety vector: factors trained to make the degraded model behave safely.

The other method beside `delta`. Where `delta` takes over whatever differs between the
two models' weights, this learns only what shows in what they say: match the aligned
model on harmful prompts, stay as you are on benign ones.
"""

from safegene.vectors.distill.run import distill_safety_vector, load_checkpoint
from safegene.vectors.distill.settings import DistillData, DistillSettings

__all__ = [
    "DistillData",
    "DistillSettings",
    "distill_safety_vector",
    "load_checkpoint",
]
