"""What a registry lists of a vector, for scripted ones."""

SUMMARY = {
    "namespace": "acme",
    "name": "guard",
    "description": "",
    "license": "MIT",
    "base_model": {"id": "a", "revision": "b"},
    "architecture": {
        "model_type": "llama",
        "layers": 2,
        "hidden_size": 32,
        "fingerprint": "sha256:0",
    },
    "rank": 8,
    "latest": {"version": "1.0.0", "digest": "sha256:0"},
    "version_count": 1,
}
