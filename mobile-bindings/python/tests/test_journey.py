"""Promise: a phone in Python does what a resident does, with a real server, and the board's answer comes back."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
import samenspraak
from samenspraak import Content, Erasure, Outcome, Progress, Role, Step, SyncState, Voice, WijkError
from world import until

MOULD = Content(title="Schimmel in de slaapkamer", text="Al twee winters. De kinderen hoesten.")


def test_words_written_offline_arrive_are_answered_and_erased(server, phone):
    resident_card, board_card = server.cards("resident")[0], server.cards("board")[0]
    amina = phone("amina", network=False)
    assert amina.sync_state() == SyncState.NOT_JOINED()
    assert amina.me() is None
    amina.join(resident_card)
    mine = amina.contribute(MOULD)
    assert amina.contribution(mine).own == Progress.SAVED()
    with pytest.raises(WijkError.Offline):
        amina.sync_now()

    server.start()
    amina.set_network(True)
    amina.sync_now()
    assert isinstance(amina.contribution(mine).own, Progress.ARRIVED)
    assert amina.me().roles == [Role.RESIDENT]

    board = phone("board")
    board.join(board_card)
    board.sync_now()
    [seen] = board.contributions(0, 10)
    assert (seen.id, seen.content, seen.own) == (mine, MOULD, None)
    board.speak(mine, Voice.SUPPORT)
    board.decide([mine], Outcome.YES, "Het lekt.", "In maart komt de aannemer.", "Woningcorporatie", None, [])
    board.sync_now()
    assert board.contribution(mine).voices.support == 1

    amina.sync_now()
    server.stop()
    # What follows is read without a network.
    [decided] = [step for step in amina.timeline(mine).steps if isinstance(step, Step.DECIDED)]
    assert decided.decision.answer == "In maart komt de aannemer."
    assert amina.contribution(mine).voices is None, "exact numbers are for the board"

    amina.erase(mine)
    with pytest.raises(WijkError.NotFound):
        amina.contribution(mine)
    server.start()
    amina.sync_now()
    board.sync_now()
    assert board.contributions(0, 10) == []
    # The board's device says so with a next connection, when the words have left its disk.
    board.sync_now()

    def reached():
        amina.ask_erasure(mine)
        amina.sync_now()
        found = amina.erasure(mine)
        return isinstance(found, Erasure.REACHED) and found.confirmed >= 2

    until("the erasure reached the devices", reached)


def test_a_sealed_story_is_answered_to_the_holder_of_its_receipt_alone(server, phone):
    resident_card, board_card = server.cards("resident")[0], server.cards("board")[0]
    server.start()
    amina, board = phone("amina"), phone("board")
    board.join(board_card)
    board.sync_now()
    amina.join(resident_card)
    until("the key of the inbox", lambda: sealable(amina, board))
    story = amina.own_sealed()[0]
    assert story.content.text == "Alleen voor het bestuur."
    assert board.contributions(0, 10) == []


def sealable(amina, board):
    amina.sync_now()
    board.sync_now()
    try:
        return amina.seal(Content(title="Geheim", text="Alleen voor het bestuur."))
    except WijkError.NoKeyYet:
        return None


def test_a_killed_phone_has_kept_what_it_said_was_saved(server, phone, tmp_path):
    card = server.cards("resident")[0]
    script = textwrap.dedent(
        """
        import os, signal, sys, samenspraak
        wijk = samenspraak.open(sys.argv[1], network=False)
        wijk.join(sys.argv[2])
        for number in range(50):
            print(wijk.contribute(samenspraak.Content(title=f"Woorden {number}", text="tekst")), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "amina"), card], capture_output=True, text=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    written = killed.stdout.split()
    assert len(written) == 50
    amina = phone("amina", network=False)
    assert {item.id for item in amina.contributions(0, 100)} == set(written)
    server.start()
    amina.set_network(True)
    amina.sync_now()
    assert all(isinstance(item.own, Progress.ARRIVED) for item in amina.contributions(0, 100))


def test_notes_written_by_two_offline_are_the_same_afterwards_and_lose_no_word(server, phone):
    chair_card, other_card = server.cards("facilitator")[0], server.cards("facilitator")[0]
    server.start()
    chair, other = phone("chair"), phone("other")
    chair.join(chair_card)
    other.join(other_card)
    # What somebody is here is known with the server's word.
    chair.sync_now()
    meeting = chair.new_meeting("Wijkoverleg", ["Groen", "Parkeren"])
    chair.sync_now()
    other.sync_now()
    for one in (chair, other):
        one.set_network(False)
    chair.edit_notes(meeting, 0, 0, 0, "Bomen planten. ")
    other.edit_notes(meeting, 0, 0, 0, "Hondenpoep. ")
    other.add_agenda_item(meeting, "Rondvraag")
    for one in (chair, other, chair):
        one.set_network(True)
        one.sync_now()
    notes = chair.meeting(meeting)
    assert notes.agenda == other.meeting(meeting).agenda
    assert [item.title for item in notes.agenda] == ["Groen", "Parkeren", "Rondvraag"]
    assert "Bomen planten. " in notes.agenda[0].text and "Hondenpoep. " in notes.agenda[0].text


def test_people_at_the_same_notes_hear_how_many_they_are_until_they_go_on(server, phone):
    server.start()
    chair, reader = phone("chair"), phone("reader")
    chair.join(server.cards("facilitator")[0])
    reader.join(server.cards("resident")[0])
    chair.sync_now()
    meeting = chair.new_meeting("Wijkoverleg", ["Groen"])
    chair.sync_now()
    assert chair.present(meeting) is None
    changes = chair.changes()

    def hears(one, others, writing):
        def heard():
            present = one.present(meeting)
            return present and (present.others, present.writing) == (others, writing)

        until(f"{others} others, {writing} of them writing", heard)

    chair.attend(meeting, True)
    hears(chair, 0, 0)
    reader.attend(meeting, False)
    hears(chair, 1, 0)
    hears(reader, 1, 1)
    until("it is told", lambda: changes.next(timeout=1) == [meeting])
    reader.attend(None, False)
    hears(chair, 0, 0)
    server.stop()
    until("without a line nobody knows", lambda: chair.present(meeting) is None)
    with pytest.raises(WijkError.Invalid):
        chair.attend("geen kenmerk", True)


def test_bad_input_gets_an_error_for_each_thing_an_app_can_do_something_about(server, phone, tmp_path):
    card, used = server.cards("resident")[0], server.cards("resident")[0]
    amina = phone("amina", network=False)
    with pytest.raises(WijkError.NotJoined):
        amina.contribute(MOULD)
    with pytest.raises(WijkError.Card):
        amina.join("http://127.0.0.1/kaart")
    with pytest.raises(WijkError.Card):
        samenspraak.check_card("XXXX")
    samenspraak.check_card(card)
    amina.join(card)
    with pytest.raises(WijkError.AlreadyJoined):
        amina.join(used)
    with pytest.raises(WijkError.Invalid):
        amina.contribute(Content(title="", text=""))
    with pytest.raises(WijkError.Invalid):
        amina.contribution("geen id")
    with pytest.raises(WijkError.NotFound):
        amina.contribution("0" * 32)
    with pytest.raises(WijkError.Invalid):
        amina.invite(Role.RESIDENT, 1001)
    with pytest.raises(WijkError.InUse):
        samenspraak.open(tmp_path / "amina")
    amina.set_network(True)
    with pytest.raises(WijkError.Offline):
        amina.sync_now()
    os.rename(tmp_path / "amina" / "keys", tmp_path / "elsewhere")
    amina.close()
    with pytest.raises(WijkError.Closed):
        amina.contributions(0, 1)
    with pytest.raises(WijkError.Key):
        samenspraak.open(tmp_path / "amina")
