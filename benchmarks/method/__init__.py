"""`make bench-method`: the method beside its rivals, on targets that lost their safety.

`data` splits the prompts, `recipe` holds every number, `workshop` makes the models,
`rivals` repairs them in other ways, `measure` looks at one repaired model, `cells`
keeps what was seen, `plan` says what is measured in which order, `runner` does it, and
`summary`, `table` and `plots` tell what came out.
"""
