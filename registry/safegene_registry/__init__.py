"""The SafeGene registry: publish, resolve and download safety vectors over HTTP.

`create_app` in `safegene_registry.app` builds the service from settings; the command
`safegene-registry` runs it. The registry checks what it is given with the standard
library and `safegene.artifact` alone, and never imports torch.
"""
