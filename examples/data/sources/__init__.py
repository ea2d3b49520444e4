"""Hand-written lines and word lists of the demo's data, by set."""
