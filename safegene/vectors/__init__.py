"""Making and using safety vectors; needs the `torch` extra.

The data's way: `checkpoint` and `extract` make a vector from a model pair, `select`
scores its layers, `peft_format` writes and reads it, `recalibrate` finds coefficients
for one target, `attach` applies it at run time and `merge` writes it into weights.
"""
