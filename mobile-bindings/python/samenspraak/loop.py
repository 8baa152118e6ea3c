"""The one event loop of this package: what the core asks of Python runs here, whatever thread or loop a caller has.

UniFFI calls asynchronous Python from threads of the core, which have no loop. It lives on a thread of its own that ends with
the process.
"""

import asyncio
import threading

from . import _core


def _begin() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="samenspraak", daemon=True).start()
    _core.uniffi_set_event_loop(loop)
    return loop


LOOP = _begin()


def run(coroutine):
    """Runs a coroutine of the core to its end, from a thread that may wait."""
    if threading.current_thread().name == "samenspraak":
        coroutine.close()
        raise RuntimeError("this would wait for itself: use open_async() in callbacks that run on the core's loop")
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result()


async def run_async(coroutine):
    """Runs a coroutine of the core to its end, from any event loop."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, LOOP))
