"""Promise: phones of every language write the same notes without a network, and have the same notes afterwards."""

from phones import PHONES


def test_phones_of_every_language_write_one_meeting_offline_and_end_equal(server, tmp_path):
    cards = server.cards("facilitator", len(PHONES))
    server.start()
    phones = {}
    try:
        for (language, kind), card in zip(PHONES.items(), cards):
            phones[language] = kind(tmp_path / language, card)
            # What somebody is here is known with the server's word.
            phones[language].sync()
        first = next(iter(phones.values()))
        meeting = first.new_meeting("Wijkoverleg", ["Groen", "Parkeren"])
        for phone in phones.values():
            phone.sync()
        assert {phone.notes(meeting).title for phone in phones.values()} == {"Wijkoverleg"}

        server.stop()
        for language, phone in phones.items():
            # All at the same place, each in an item of its own, and one that nobody else knows of.
            phone.append(meeting, 0, f"Bomen planten, vindt {language}.")
            phone.append(meeting, 0, f"En geen hondenpoep, zegt {language}: één café is genoeg.")
            phone.add(meeting, f"Rondvraag van {language}")
            phone.append(meeting, 2, f"Een punt van {language} zelf.")
        apart = {language: phone.notes(meeting) for language, phone in phones.items()}
        assert len({notes.heads for notes in apart.values()}) == len(phones), "they were to differ before they meet"

        server.start()
        # Twice: the first hears of the last in the second round.
        for _ in range(2):
            for phone in phones.values():
                phone.sync()
        together = {language: phone.notes(meeting) for language, phone in phones.items()}
        assert len(set(together.values())) == 1, together
        [notes] = set(together.values())
        assert notes.heads
        written = "\n".join(text for _, text in notes.agenda)
        for language in phones:
            # Words that two wrote at one place stand beside each other whole.
            assert f"Bomen planten, vindt {language}.\nEn geen hondenpoep, zegt {language}: één café is genoeg." in written
            assert f"Een punt van {language} zelf." in written
            assert f"Rondvraag van {language}" in [title for title, _ in notes.agenda]
    finally:
        for phone in phones.values():
            phone.close()
