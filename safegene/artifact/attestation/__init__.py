"""What is said of a version after it was published: measured, made, calibrated, yanked.

An attestation is a DSSE envelope (`envelope`) around an in-toto statement (`statement`)
whose subject is the version's manifest digest and whose predicate is one of four kinds
(`predicates`; `figures` has their numbers). It may be signed (`keys`). Adding one never
changes the version nor any other attestation. Pure Python; only `keys` needs
`cryptography`, and imports it when a key is used.
"""
