"""Other ways to repair a target, written anew from their papers.

Every rival that changes weights without training gives, for a strength, what is to be
added to the target's weights, by parameter name. Each is tested on a case whose outcome
is known. Rows that train weights are in `training` and `preference`.
"""
