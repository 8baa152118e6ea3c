"""Promise: polls, moderation and circles do across the border what they do in the core: nobody learns more than they should."""

import pytest
from samenspraak import Content, Progress, Voice, WijkError
from world import until

QUESTION = Content(title="Autovrije straat?", text="Zou je dat willen?")

# Fewer answers of a kind are never told; the core says so, and this only asks for it.
TALLY_MIN = 10


def synced(*phones):
    for one in phones:
        one.set_network(True)
        one.sync_now()


def test_a_secret_poll_is_counted_from_ten_and_nobody_reads_who(server, phone):
    cards, staff_card = server.cards("resident", TALLY_MIN + 1), server.cards("facilitator")[0]
    server.start()
    staff = phone("staff")
    staff.join(staff_card)
    synced(staff)
    question = staff.contribute(QUESTION)
    synced(staff)
    voters = [phone(f"voter-{number}") for number in range(len(cards))]
    for number, (voter, card) in enumerate(zip(voters, cards)):
        voter.join(card)
        synced(voter)
        voter.ballot(question, Voice.AGREE if number < TALLY_MIN else Voice.DISAGREE)
        own = voter.poll(question).own
        assert own.voice == (Voice.AGREE if number < TALLY_MIN else Voice.DISAGREE)
        synced(voter)
        assert isinstance(voter.poll(question).own.progress, Progress.ARRIVED)
    assert not voters[0].poll(question).counted
    with pytest.raises(WijkError.NotAllowed):
        voters[0].ask_count(question)
    staff.ask_count(question)

    def counted():
        synced(staff, voters[0])
        return voters[0].poll(question).counted

    until("the server counted", counted)
    poll = voters[0].poll(question)
    assert [(one.voice, one.people) for one in poll.counts] == [(Voice.AGREE, TALLY_MIN)], "one answer alone is never told"
    assert staff.poll(question).own is None


def test_a_notice_hides_nothing_a_ruling_does_and_an_appeal_is_heard(server, phone):
    author_card, reader_card = server.cards("resident", 2)
    board_card = server.cards("board")[0]
    # Sealed input is held until there is enough of it to hide among; in a test there never is.
    server.start(SAMENSPRAAK_HOLD_SECONDS="0")
    author, reader, board = phone("author"), phone("reader"), phone("board")
    for one, card in ((board, board_card), (author, author_card), (reader, reader_card)):
        one.join(card)
        synced(one)
    words = author.contribute(Content(title="De buurman", text="Dit had ik niet moeten schrijven."))
    synced(author, reader, board, reader)

    def noticed():
        # The inbox's key comes with a sync after the board's.
        synced(board, reader)
        try:
            return reader.notice(words, "Hier staat iets over mij.")
        except WijkError.NoKeyYet:
            return None

    until("the notice is written", noticed)
    until("the board has it", lambda: synced(reader, board) or board.notices())
    [notice] = board.notices()
    assert (notice.about, notice.text, notice.appeal_against) == (words, "Hier staat iets over mij.", None)
    assert [one.id for one in reader.contributions(0, 10)] == [words], "a notice hides nothing"
    assert reader.notices() == []

    with pytest.raises(WijkError.NotAllowed):
        reader.rule(words, True, "huisregel 3", "dat mag niet", None)
    board.rule(words, True, "huisregel 3", "Dit gaat over iemand anders.", notice.id)
    synced(board, author, reader)
    assert reader.contributions(0, 10) == [] and reader.rulings_on(words) == []
    assert author.contribution(words).hidden
    [ruling] = author.rulings_on(words)
    assert (ruling.hides, ruling.ground, ruling.reason) == (True, "huisregel 3", "Dit gaat over iemand anders.")
    [ruled] = board.ruled()
    assert (ruled.id, ruled.hidden, ruled.title) == (words, True, "De buurman")

    author.appeal(ruling.id, "Ik noemde niemand.")
    until("the appeal is there", lambda: synced(author, board) or [one for one in board.notices() if one.appeal_against == ruling.id])
    board.rule(words, False, "huisregel 3", "Je hebt gelijk.", None)
    synced(board, author, reader)
    assert [one.id for one in reader.contributions(0, 10)] == [words]
    assert [one.hides for one in author.rulings_on(words)] == [True, False]


def test_staff_erases_with_a_ground_when_two_signed(server, phone):
    author_card, board_card = server.cards("resident")[0], server.cards("board")[0]
    administrator_card = server.cards("administrator")[0]
    server.start()
    author, board, administrator = phone("author"), phone("board"), phone("administrator")
    for one, card in ((author, author_card), (board, board_card), (administrator, administrator_card)):
        one.join(card)
        synced(one)
    words = author.contribute(Content(title="Een adres", text="Straat 1"))
    synced(author, board, administrator)
    with pytest.raises(WijkError.NotAllowed):
        author.erase_by_ground(words, "AVG artikel 17")
    board.erase_by_ground(words, "AVG artikel 17")
    synced(board, administrator)
    [waiting] = administrator.erasures_by_ground()
    assert (waiting.id, waiting.done, waiting.needs_administrator) == (words, False, True)
    assert board.contribution(words).id == words
    administrator.erase_by_ground(words, "AVG artikel 17")
    synced(administrator, board, author)
    assert board.contributions(0, 10) == [] and author.contributions(0, 10) == []
    [done] = board.erasures_by_ground()
    assert done.done and len(done.signatures) == 2 and {one.ground for one in done.signatures} == {"AVG artikel 17"}


def test_a_circle_is_read_by_its_members_until_they_are_taken_out(server, phone):
    leader_card, member_card, other_card = server.cards("facilitator")[0], *server.cards("resident", 2)
    server.start()
    leader, member, other = phone("leader"), phone("member"), phone("other")
    for one, card in ((leader, leader_card), (member, member_card), (other, other_card)):
        one.join(card)
        synced(one)
    with pytest.raises(WijkError.NotAllowed):
        other.new_circle()
    circle = leader.new_circle()
    synced(leader)
    [card] = leader.invite_to_circle(circle, 1)
    synced(leader)
    with pytest.raises(WijkError.Card):
        member.join_circle("kring#niets")
    assert member.join_circle(card) == circle

    def both_in():
        synced(member, leader, member)
        return len(leader.circle_members(circle)) == 2 and len(member.circle_members(circle)) == 2

    until("both are in", both_in)
    leader.write_in_circle(circle, "Welkom. Wat hier staat blijft hier.")

    def read():
        synced(leader, member)
        return [one.content.text for one in member.circle_texts(circle) if one.content]

    assert until("it is read", read) == ["Welkom. Wat hier staat blijft hier."]
    assert other.circles() == []
    with pytest.raises(WijkError.NotFound):
        other.circle_texts(circle)
    [taken_out] = [one.key for one in leader.circle_members(circle) if not one.own]
    leader.remove_from_circle(circle, taken_out)
    synced(leader)
    assert [one.own for one in leader.circle_members(circle)] == [True]
