"""Catalogs of a thousand to a million versions: what looking something up costs."""
