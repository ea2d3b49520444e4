"""SafeGene: safety as a package for fine-tuned language models.

The core: `safegene.artifact` (the format, without torch), `safegene.vectors` (extract,
select, recalibrate, attach, merge; needs the `torch` extra) and `safegene.evaluation`.
Importing this package loads no torch.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
