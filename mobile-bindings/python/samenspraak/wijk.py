"""An opened wijk, for threads that wait and for event loops; and the notices of what changed as something to iterate over."""

import atexit
import functools
import inspect
import pathlib
import queue
import weakref

from . import _core
from .loop import run, run_async
from .platform import FileVault, WebSockets

# Notices that wait to be read; behind that the oldest go, for a later one says to look again as well.
NOTICES_MAX = 256


class _Notices(_core.Listener):
    """Puts notices where iterators find them. A call of a listener waits for nobody."""

    def __init__(self):
        self.readers = []

    def _tell(self, notice):
        for reader in list(self.readers):
            reader._put(notice)

    def changed(self, ids):
        self._tell(list(ids))

    def sync_state(self, state):
        self._tell(state)


class Changes:
    """Iterates over notices: a list of ids that read differently, or a ``SyncState``. Ends with ``close()``."""

    def __init__(self, notices):
        self._notices, self._queue = notices, queue.Queue(NOTICES_MAX)
        notices.readers.append(self)

    def _put(self, notice):
        while True:
            try:
                return self._queue.put_nowait(notice)
            except queue.Full:
                try:
                    self._queue.get_nowait()
                except queue.Empty:
                    pass

    def next(self, timeout=None):
        """The next notice; ``None`` when none came within ``timeout`` seconds, or it was closed."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def __iter__(self):
        return iter(self.next, None)

    def close(self):
        """Ends the iteration."""
        if self in self._notices.readers:
            self._notices.readers.remove(self)
        self._put(None)


# What is open when the interpreter ends is closed first, and this waits until no thread of the core calls Python any more: one
# that calls into an interpreter which is being taken down ends the process the hard way.
_OPEN = weakref.WeakSet()


@atexit.register
def _close_all():
    for opened in list(_OPEN):
        opened._core.end_blocking()


class _Opened:
    def __init__(self, core, notices):
        self._core, self._notices = core, notices
        _OPEN.add(self)

    def changes(self):
        """Notices from now on."""
        return Changes(self._notices)


class Wijk(_Opened):
    """One wijk on this device; its methods wait until they are done. Use it in a ``with``, or ``close()`` it."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class AsyncWijk(_Opened):
    """The same, with methods to await. Use it in an ``async with``, or ``await close()``."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()


def _methods():
    for name, method in vars(_core.Wijk).items():
        if not name.startswith("_") and callable(method):
            yield name, method


def _waiting(name, method):
    if not inspect.iscoroutinefunction(method):
        return functools.wraps(method)(lambda self, *args, **named: getattr(self._core, name)(*args, **named))
    return functools.wraps(method)(lambda self, *args, **named: run(getattr(self._core, name)(*args, **named)))


def _awaited(name, method):
    if not inspect.iscoroutinefunction(method):
        return _waiting(name, method)

    async def call(self, *args, **named):
        return await run_async(getattr(self._core, name)(*args, **named))

    return functools.wraps(method)(call)


# In Python one closes what was opened.
_NAMES = {"end": "close"}

for _name, _method in _methods():
    setattr(Wijk, _NAMES.get(_name, _name), _waiting(_name, _method))
    setattr(AsyncWijk, _NAMES.get(_name, _name), _awaited(_name, _method))


def _opening(folder, vault, connector, network):
    folder, notices = pathlib.Path(folder), _Notices()
    vault = vault or FileVault(folder / "keys")
    opening = _core.open_wijk(str(folder / "store"), vault, connector or WebSockets(), notices, network)
    return opening, notices


def open(folder, *, vault=None, connector=None, network=True):
    """Opens the folder of a device, making it when it isn't there. Without a ``vault`` the key is a file in it."""
    opening, notices = _opening(folder, vault, connector, network)
    return Wijk(run(opening), notices)


async def open_async(folder, *, vault=None, connector=None, network=True):
    """As :func:`open`, for an event loop."""
    opening, notices = _opening(folder, vault, connector, network)
    return AsyncWijk(await run_async(opening), notices)
