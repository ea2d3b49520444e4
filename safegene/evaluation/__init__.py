"""Measuring safety honestly, without a judge behind an API.

`rows`, `outcomes`, `metrics`, `validity`, `defaults` and `report` (with its page) need
no torch and are imported freely; `generation`, `accuracy`, `margin`, `plausibility` and
`evaluate` run a model. The package itself imports nothing, so that `import safegene`
stays cheap.
"""
