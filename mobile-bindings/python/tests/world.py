"""What tests of the bindings share: a wijk of the real program, free ports, and patience."""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest

# Longer than anything here takes on a slow machine that is busy with something else.
PATIENCE = 60


def until(what, look):
    """Polls until there is an answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    pytest.fail(f"waited in vain: {what}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """The program and its folder; it can be stopped and started again on the same port."""

    def __init__(self, folder):
        self.program = os.environ["SAMENSPRAAK_PROGRAM"]
        self.folder, self.port = folder / "wijk", free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.run("wijk", "new", str(self.folder), "--name", "Testwijk", "--municipality", "Testgemeente",
                 "--code", "WK036300", "--year", "2025", "--address", self.address)

    def run(self, *arguments):
        ran = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def cards(self, role, count=1):
        printed = self.run("invite", str(self.folder), "--role", role, "--count", str(count), "--plain")
        return [line for line in printed.splitlines() if line.startswith("http")]

    def start(self, **environment):
        """Serves; what is named goes into the program's environment."""
        command = [self.program, "serve", str(self.folder), "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        until("the server listens", self.listens)

    def listens(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as one:
                one.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in one.recv(64)
        except OSError:
            return False

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
            self.process = None
