"""Promise: a resident with the Kotlin phone says something offline, loses it to no kill, reads the answer and takes it back."""

import re

import pytest
import samenspraak
from phones import Terminal, kotlin_command
from world import until


@pytest.fixture
def board(server, tmp_path):
    with samenspraak.open(tmp_path / "board", network=False) as board:
        board.join(server.cards("board")[0])
        yield board


def test_a_resident_types_the_whole_journey_and_is_killed_on_the_way(server, tmp_path, board):
    amina = Terminal([*kotlin_command(), str(tmp_path / "amina")])
    try:
        assert "Je doet nog niet mee." in amina.type("write Te vroeg | tekst")
        assert "Deze kaart kan niet worden gebruikt." in amina.type("join http://127.0.0.1/kaart")
        assert "Je doet mee met wijk" in amina.type(f"join {server.cards('resident')[0]}")

        # The server isn't there: everything is kept here, and it says no more than that.
        said = amina.type("write Schimmel in de slaapkamer | Al twee winters. De kinderen hoesten.")
        mine = re.fullmatch(r"([0-9a-f]{32})  bewaard op dit toestel", said).group(1)
        assert "Geen verbinding." in amina.type("sync")
        assert amina.type("list") == f"{mine[:12]}  Schimmel in de slaapkamer  [bewaard op dit toestel]"
        amina.begin("write Half getypt | komt er wel of niet, maar nooit half")
        amina.kill()

        amina.start()
        listed = amina.type("list").splitlines()
        assert listed[0] == f"{mine[:12]}  Schimmel in de slaapkamer  [bewaard op dit toestel]"
        assert all("Half getypt  [bewaard op dit toestel]" in line for line in listed[1:]) and len(listed) <= 2

        # Killed while it speaks with the server.
        server.start()
        amina.begin("sync")
        amina.kill()
        amina.start()
        assert amina.type("sync") == "Alles is verstuurd en opgehaald."
        assert "[aangekomen op " in amina.type("list").splitlines()[0]

        board.set_network(True)
        board.sync_now()
        outcome = samenspraak.Outcome.YES
        board.decide([mine], outcome, "Het lekt.", "In maart komt de aannemer.", "Woningcorporatie", None, [])
        board.sync_now()
        amina.type("sync")
        server.stop()
        amina.kill()
        amina.start("--offline")
        shown = amina.type(f"show {mine[:6]}")
        assert "antwoord: In maart komt de aannemer." in shown and "- aangekomen op " in shown and ": ja" in shown

        assert amina.type(f"erase {mine}") == f"{mine}  wordt overal gewist"
        assert "Schimmel" not in amina.type("list")
        amina.kill()
        amina.start()
        assert "Schimmel" not in amina.type("list"), "erased is erased, killed or not"
        server.start()
        amina.type("sync")
        # A device says so with a connection after the one that told it, when the words have left its disk.
        board.sync_now()
        board.sync_now()
        assert board.contribution_count() == len(listed) - 1
        until("the erasure reached both", lambda: re.search(r"Gewist op [2-9] van \d+ toestellen", amina.type(f"erasure {mine}")))
        amina.type("network on")
    finally:
        amina.close()


def test_words_of_others_never_drive_the_terminal(server, tmp_path, board):
    server.start()
    board.set_network(True)
    board.sync_now()
    board.contribute(samenspraak.Content(title="Rood \x1b[31m", text="een regel\n\x1b]0;titel\x07nog een {title}"))
    board.sync_now()
    amina = Terminal([*kotlin_command(), str(tmp_path / "amina")])
    try:
        amina.type(f"join {server.cards('resident')[0]}")
        amina.type("sync")
        listed = amina.type("list")
        shown = amina.type(f"show {listed.split()[0]}")
        assert "\x1b" not in listed + shown and "\x07" not in shown and "nog een {title}" in shown
        assert "Hier is niets dat begint met zzz." in amina.type("show zzz")
        assert "Typ help" in amina.type("doe iets")
    finally:
        amina.close()
