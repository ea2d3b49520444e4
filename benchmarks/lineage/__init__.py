"""How well the lineage sketch tells descendants of a model from strangers."""
