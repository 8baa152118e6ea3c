"""Promise: whatever the app's own code does (throw, block, call back), and however often a folder is opened, the core goes on."""

import asyncio
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest
import samenspraak
import samenspraak.loop
from samenspraak import BackgroundSync, ConnectionError, Connector, Content, KeyVault, KeyVaultError, Listener, SyncState, WijkError
from world import until

OPENINGS = int(os.environ.get("SAMENSPRAAK_OPENINGS", "1000"))
# What a thousand openings may leave, in KiB: a leaked store is some MiB each.
LEFT_KIB_MAX = 24 * 1024


def resident_kib():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    pytest.skip("this system doesn't say")


def test_opening_and_closing_again_and_again_leaves_nothing(phone, server):
    with phone("amina", network=False) as amina:
        amina.join(server.cards("resident")[0])
    for _ in range(10):
        phone("amina", network=False).close()
    before = resident_kib()
    for _ in range(OPENINGS):
        wijk = phone("amina", network=False)
        assert wijk.me() is not None
        wijk.close()
    assert resident_kib() - before < LEFT_KIB_MAX


def test_a_hundred_callers_at_once_are_all_answered(phone, server):
    amina = phone("amina", network=False)
    amina.join(server.cards("resident")[0])
    ids, problems = [], []

    def call(number):
        try:
            ids.append(amina.contribute(Content(title=f"Beller {number}", text="tekst")))
            amina.contributions(0, 5)
        except Exception as problem:  # noqa: BLE001
            problems.append(problem)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(100)]
    for one in callers:
        one.start()
    for one in callers:
        one.join(60)
    assert not problems and len(set(ids)) == 100
    assert amina.contribution_count() == 100


def test_the_platform_is_asked_to_wake_the_app_soon_or_in_some_hours_and_may_throw(phone, server):
    asked, hours = [], 3_600_000

    class Wakes(BackgroundSync):
        def wake(self, not_before_ms):
            asked.append(not_before_ms - time.time() * 1000)
            raise ZeroDivisionError("the app's own fault")

    server.start()
    amina = phone("amina")
    amina.join(server.cards("resident")[0])
    amina.sync_now()
    amina.set_background_sync(Wakes())
    until("it is asked at once with how things are", lambda: asked and 5 * hours < asked[-1] < 7 * hours)
    server.stop()
    until("without a line it is soon", lambda: asked[-1] < hours / 10)
    amina.set_background_sync(None)
    before = len(asked)
    server.start()
    amina.sync_now()
    amina.close()
    assert len(asked) == before, "nobody is asked any more"
    with pytest.raises(WijkError.Closed):
        amina.set_background_sync(Wakes())


def test_an_event_loop_can_await_it_and_give_up_waiting(tmp_path, server):
    card = server.cards("resident")[0]

    async def go():
        async with await samenspraak.open_async(tmp_path / "amina", network=False) as amina:
            await amina.join(card)
            ids = await asyncio.gather(
                *(amina.contribute(Content(title=f"Taak {number}", text="tekst")) for number in range(20))
            )
            assert len(set(ids)) == 20
            waiting = asyncio.create_task(amina.sync_now())
            await asyncio.sleep(0)
            waiting.cancel()
            assert await amina.contribution_count() == 20

    asyncio.run(go())


def test_changes_are_told_and_a_listener_that_throws_blocks_or_calls_back_ends_nothing(tmp_path, server, phone):
    released, calls = threading.Event(), []

    class Wild(Listener):
        def changed(self, ids):
            calls.append(ids)
            if len(calls) == 1:
                raise ZeroDivisionError("the app's own fault")
            if len(calls) == 2:
                # Asks the very wijk that tells it.
                calls.append(samenspraak.loop.run(wijk.contribution_count()))
                released.wait(30)

        def sync_state(self, state):
            raise RuntimeError("again")

    from samenspraak import _core, loop

    vault = samenspraak.FileVault(tmp_path / "keys")
    wijk = loop.run(_core.open_wijk(str(tmp_path / "store"), vault, samenspraak.WebSockets(), Wild(), False))
    loop.run(wijk.join(server.cards("resident")[0]))
    for number in range(5):
        loop.run(wijk.contribute(Content(title=f"Bericht {number}", text="tekst")))
        until("it was told", lambda: len(calls) > min(number, 1))
    released.set()
    until("it hears of what came meanwhile", lambda: len(calls) >= 4)
    loop.run(wijk.end())

    amina = phone("amina", network=False)
    changes = amina.changes()
    amina.join(server.cards("resident")[0])
    mine = amina.contribute(Content(title="Hallo", text="tekst"))
    assert until("the notice", lambda: any(mine in notice for notice in iter(lambda: changes.next(1), None) if isinstance(notice, list)))
    changes.close()


def test_a_vault_that_fails_is_an_error_and_never_a_new_key(tmp_path, server):
    class Locked(KeyVault):
        def __init__(self, how):
            self.how = how

        def key(self, name):
            raise self.how

        def keep(self, name, key):
            raise AssertionError("a key was made though it could not be said whether there is one")

    with samenspraak.open(tmp_path / "amina", network=False) as amina:
        amina.join(server.cards("resident")[0])
        amina.contribute(Content(title="Van eerder", text="tekst"))
    for how in (KeyVaultError.Locked(), KeyVaultError.Failed("kapot"), ZeroDivisionError("not declared")):
        with pytest.raises(WijkError.Key):
            samenspraak.open(tmp_path / "amina", vault=Locked(how))
    with samenspraak.open(tmp_path / "amina", network=False) as amina:
        assert amina.contribution_count() == 1


def test_a_connector_that_throws_or_hangs_leaves_the_phone_usable(tmp_path, server, phone):
    class Throws(Connector):
        async def connect(self, connection, url, message_bytes_max):
            raise ZeroDivisionError("not declared")

        async def send(self, connection, message):
            raise AssertionError

        async def receive(self, connection):
            raise AssertionError

        async def close(self, connection):
            raise ZeroDivisionError("not declared either")

    class Hangs(Throws):
        async def connect(self, connection, url, message_bytes_max):
            await asyncio.sleep(3600)

    class Lies(Throws):
        async def connect(self, connection, url, message_bytes_max):
            return None

        async def receive(self, connection):
            return b"no frame at all"

    card = server.cards("resident")[0]
    throwing = phone("throws", connector=Throws())
    throwing.join(card)
    with pytest.raises(WijkError.Offline):
        throwing.sync_now()
    assert isinstance(throwing.sync_state(), SyncState.OFFLINE)
    hanging = phone("hangs", connector=Hangs())
    hanging.join(server.cards("resident")[0])
    assert hanging.contribute(Content(title="Toch", text="gewoon bewaard"))
    hanging.set_network(False)
    lied_to = phone("lies", connector=Lies())
    lied_to.join(server.cards("resident")[0])
    with pytest.raises((WijkError.Untrusted, WijkError.Offline)):
        lied_to.sync_now()
    assert lied_to.contribute(Content(title="Ook", text="gewoon bewaard"))


def test_a_script_that_closes_nothing_ends_well_and_has_kept_everything(tmp_path, server, phone):
    server.start()
    script = (
        "import sys, samenspraak; wijk = samenspraak.open(sys.argv[1]); wijk.join(sys.argv[2]);"
        "wijk.contribute(samenspraak.Content(title='Nooit gesloten', text='tekst'))"
    )
    # More than once: whether a thread of the core calls into an interpreter that ends is a matter of moments.
    for number, card in enumerate(server.cards("resident", 5)):
        folder = tmp_path / f"amina-{number}"
        ran = subprocess.run([sys.executable, "-c", script, str(folder), card], capture_output=True, text=True, timeout=120)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert phone(folder.name, network=False).contribution_count() == 1


def test_every_method_has_its_help():
    for name in ("contribute", "erase", "timeline", "sync_now", "seal"):
        assert getattr(samenspraak.Wijk, name).__doc__, name
        assert getattr(samenspraak.AsyncWijk, name).__doc__, name
    assert ConnectionError is samenspraak.ConnectionError
