"""What every blob store does about blobs that are left half done.

On the same stores as `test_store_qualification`.
"""

import os
from uuid import uuid4

import pytest
from safegene_registry.storage import StagedBlobMissingError
from support.stores import (
    DATA,
    DIGEST,
    LARGE_BYTES,
    WRONG,
    content,
    keys_of,
    long_ago,
    publish,
    soon,
    stage,
    write_all,
)

from safegene.artifact.digest import digest_bytes


def test_strays_go_by_owner_and_age(store):
    """Published blobs are no strays, however old they are."""
    owned, stray = uuid4(), uuid4()
    publish(store)
    for upload_id in (owned, stray):
        stage(store, upload_id, b"staged")

    young = store.discard_strays({owned}, long_ago())
    told = store.discard_strays({owned}, soon(), dry_run=True)
    before = store.staged(stray)
    done = store.discard_strays({owned}, soon())

    assert young == []
    assert told == done == [str(stray)]
    assert (len(before), store.staged(stray)) == (1, {})
    assert store.staged(owned) == {digest_bytes(b"staged"): 6}
    assert content(store, DIGEST) == DATA
    assert store.discard_strays({owned}, soon()) == []


def test_strays_take_nothing_along_whose_name_begins_alike(place):
    """Names are looked for as a whole."""
    owned = uuid4()
    stage(place.store, owned)
    stray = str(owned)[:8]
    place.write(f"staging/{stray}/half", DATA)

    done = place.store.discard_strays({owned}, soon())

    assert done == [stray]
    assert place.store.staged(owned) == {DIGEST: len(DATA)}


def test_half_received_blobs_are_strays(store):
    """Of a process that ended in the middle; large enough to have left something."""
    upload_id = uuid4()
    writer = store.receive(upload_id, DIGEST, LARGE_BYTES)
    for _ in range(19):
        writer.write(bytes(1 << 20))

    young = store.discard_strays(set(), long_ago())
    done = store.discard_strays(set(), soon())

    writer.abort()
    assert young == []
    assert done == [str(upload_id)]
    assert store.discard_strays(set(), soon()) == []


def test_discarding_takes_half_received_blobs_along(store):
    """Nothing is left for a sweep."""
    upload_id = uuid4()
    stage(store, upload_id)
    writer = store.receive(upload_id, DIGEST, LARGE_BYTES)
    for _ in range(19):
        writer.write(bytes(1 << 20))

    store.discard(upload_id)

    writer.abort()
    assert store.staged(upload_id) == {}
    assert store.discard_strays(set(), soon()) == []


def test_receiving_into_a_discarded_upload_stages_nothing(store):
    """Another connection has cancelled it; at most a stray is left."""
    upload_id = uuid4()
    data = os.urandom(LARGE_BYTES)
    writer = store.receive(upload_id, digest_bytes(data), len(data))
    for at in range(0, 19 << 20, 1 << 20):
        writer.write(data[at : at + (1 << 20)])

    store.discard(upload_id)
    with pytest.raises(StagedBlobMissingError):
        write_all(writer, data[19 << 20 :])

    assert store.staged(upload_id) == {}


def test_the_inventory_lists_everything_in_the_final_place(place):
    """What is staged is not there; what lies under no final key is no blob."""
    publish(place.store)
    stage(place.store, uuid4(), b"staged")
    place.write(f"blobs/sha256/zz/{DIGEST.hex}", b"strange")

    found = {each.key: each for each in place.store.inventory()}

    strange = found.pop(f"blobs/sha256/zz/{DIGEST.hex}")
    (blob,) = found.values()
    assert (strange.digest, strange.size) == (None, 7)
    assert (blob.digest, blob.size) == (DIGEST, len(DATA))
    assert long_ago() < blob.modified < soon()


def test_what_is_wrong_is_set_aside_and_what_is_right_stays(place):
    """Nothing is lost, and a key is asked about again after the move."""
    store = place.store
    publish(store)
    (key,) = (each.key for each in store.inventory())

    stayed = store.set_aside(key)
    right = content(store, DIGEST)
    place.write(key, WRONG)
    moved = store.set_aside(key)

    assert (stayed, right) == (None, DATA)
    assert moved is not None
    assert store.find(DIGEST) is None
    assert store.set_aside(key) is None
    assert [str(each) for each in keys_of(store, "quarantine/")] == [moved]
    # What is set aside does not keep anybody from sending the right bytes.
    publish(store)
    assert content(store, DIGEST) == DATA
