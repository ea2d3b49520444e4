"""What happens to versions after they were published.

`aliases`: names that move from one to another, and who may move them. `yanking`: hiding
a version from resolution. `deprecation`: saying that something should not be used.
`advisories`: saying what is wrong with a range of versions. `purging`: removing a
version's bytes for good.
"""
