"""What Python has of a platform: a file of its owner alone for the key, and WebSockets."""

import asyncio
import os
import pathlib

import websockets

from . import _core

KEY_BYTES = 32
CONNECT_SECONDS = 10


class FileVault(_core.KeyVault):
    """Keeps keys in files that only their owner may read. Put them on another disk than the folder they open."""

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)

    def key(self, name):
        path = self._folder / name
        try:
            if os.name == "posix" and path.stat().st_mode & 0o077:
                raise _core.KeyVaultError.Failed(f"{path} can be read by others than its owner")
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _core.KeyVaultError.Failed(str(error)) from error

    def keep(self, name, key):
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path, fresh = self._folder / name, self._folder / f"{name}.new"
            if path.exists():
                if path.read_bytes() == key:
                    return
                raise _core.KeyVaultError.Taken()
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
            if os.name == "posix":
                folder = os.open(self._folder, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise _core.KeyVaultError.Failed(str(error)) from error


class WebSockets(_core.Connector):
    """Connects with the ``websockets`` package. ``ssl`` is handed to it: an ``ssl.SSLContext`` for a wijk with an authority of its
    own."""

    def __init__(self, ssl=None):
        self._ssl = ssl
        self._open = {}

    async def connect(self, connection, url, message_bytes_max):
        options = {"ssl": self._ssl} if self._ssl is not None and url.startswith("wss:") else {}
        try:
            connecting = websockets.connect(
                url, max_size=message_bytes_max, open_timeout=CONNECT_SECONDS, compression=None, **options
            )
            self._open[connection] = await connecting
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            raise _core.ConnectionError.Failed(str(error) or type(error).__name__) from error

    def _socket(self, connection):
        socket = self._open.get(connection)
        if socket is None:
            raise _core.ConnectionError.Failed("this connection is closed")
        return socket

    async def send(self, connection, message):
        try:
            await self._socket(connection).send(message)
        except websockets.WebSocketException as error:
            raise _core.ConnectionError.Failed(str(error)) from error

    async def receive(self, connection):
        try:
            while True:
                message = await self._socket(connection).recv()
                if isinstance(message, bytes):
                    return message
        except websockets.ConnectionClosedOK:
            return None
        except websockets.WebSocketException as error:
            raise _core.ConnectionError.Failed(str(error)) from error

    async def close(self, connection):
        socket = self._open.pop(connection, None)
        if socket is not None:
            await socket.close()
