"""Care of the data: clearing away, checking, copying, restoring, mirroring."""
