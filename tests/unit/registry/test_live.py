"""Who listens on one loop does not keep another from closing the registry."""

import asyncio
import threading

from safegene_registry.events.live import Live


def test_it_closes_though_somebody_listens_on_another_loop(registry):
    live = Live(registry.services.database, limit=4)
    is_listening = threading.Event()

    async def listen():
        with live.listening("acme", "ann", 0) as listener:
            is_listening.set()
            await listener.changed.wait()

    listener = threading.Thread(target=asyncio.run, args=(listen(),))
    listener.start()
    assert is_listening.wait(60)

    asyncio.run(live.close())

    listener.join(60)
    assert not listener.is_alive()
