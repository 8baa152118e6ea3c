"""Phones of every language, with the same few things that a meeting needs: the one place where a language is plugged in.

A phone is made with its name, its folder and the card it joins with. Everything but ``sync`` works without a network; a phone that
ends (``close``) has lost nothing. Which phones there are says ``PHONES``: a new language is a class here and a line there.
"""

import dataclasses
import json
import os
import subprocess
import threading

import samenspraak
from world import PATIENCE


@dataclasses.dataclass(frozen=True)
class Notes:
    """Meeting notes as a phone shows them."""

    title: str
    agenda: tuple[tuple[str, str], ...]
    heads: tuple[str, ...]


class PythonPhone:
    def __init__(self, folder, card):
        self.wijk = samenspraak.open(folder)
        self.wijk.join(card)

    def sync(self):
        self.wijk.sync_now()

    def new_meeting(self, title, agenda):
        return self.wijk.new_meeting(title, agenda)

    def add(self, meeting, title):
        self.wijk.add_agenda_item(meeting, title)

    def append(self, meeting, item, text):
        """Writes at the end of the notes of an item, from 0, on a line of its own."""
        before = self.wijk.meeting(meeting).agenda[item].text
        self.wijk.set_notes(meeting, item, before, f"{before}\n{text}" if before else text)

    def notes(self, meeting):
        found = self.wijk.meeting(meeting)
        return Notes(found.title, tuple((item.title, item.text) for item in found.agenda), tuple(found.heads))

    def close(self):
        self.wijk.close()


class Terminal:
    """A program that is typed to: it prints a prompt when it is done with a line. It can be killed and started again."""

    PROMPT = "> "

    def __init__(self, command):
        self.command, self.process, self.stderr = command, None, []
        self.start()

    def start(self, *more):
        self.process = subprocess.Popen(
            [*self.command, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", bufsize=1
        )
        # What it says of itself must not fill its pipe.
        threading.Thread(target=lambda pipe=self.process.stderr: self.stderr.extend(pipe), daemon=True).start()
        return self.read()

    def read(self):
        """What it printed until it waits for a line; a program that hangs is ended and has then printed too little."""
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        printed = ""
        try:
            while not (printed == self.PROMPT or printed.endswith("\n" + self.PROMPT)):
                letter = self.process.stdout.read(1)
                assert letter, f"it ended after {printed!r}: {''.join(self.stderr)}"
                printed += letter
        finally:
            watch.cancel()
        return printed.removesuffix(self.PROMPT).rstrip("\n")

    def begin(self, line):
        """Types a line and doesn't wait."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def type(self, line):
        self.begin(line)
        return self.read()

    def kill(self):
        """As the system does when it needs the memory: nothing of the program runs after it."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.close_pipes()

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(PATIENCE)
        self.close_pipes()

    def close_pipes(self):
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass


def shown_notes(printed, heads):
    """Notes as terminals print them: the title, then `1. Title` and its notes for each item."""
    title, *lines = [line.strip() for line in printed.splitlines() if line.strip()]
    agenda = []
    for line in lines:
        number = f"{len(agenda) + 1}. "
        if line.startswith(number):
            agenda.append((line.removeprefix(number), []))
        else:
            agenda[-1][1].append(line)
    return Notes(title, tuple((title, "\n".join(text)) for title, text in agenda), tuple(heads))


def kotlin_command():
    """How the Kotlin phone is started, without its folder."""
    return json.loads(os.environ["SAMENSPRAAK_KOTLIN_PHONE"])


class KotlinPhone:
    def __init__(self, folder, card):
        self.terminal = Terminal([*kotlin_command(), str(folder)])
        self.terminal.type(f"join {card}")

    def sync(self):
        assert "Alles is verstuurd en opgehaald." in self.terminal.type("sync")

    def new_meeting(self, title, agenda):
        return self.terminal.type("notes new " + " | ".join([title, *agenda])).split()[0]

    def add(self, meeting, title):
        self.terminal.type(f"notes add {meeting} {title}")

    def append(self, meeting, item, text):
        self.terminal.type(f"notes append {meeting} {item + 1} {text}")

    def notes(self, meeting):
        return shown_notes(self.terminal.type(f"notes show {meeting}"), self.terminal.type(f"notes heads {meeting}").split())

    def close(self):
        self.terminal.close()


class ProgramPhone:
    """The program's own phone: one command, one process."""

    def __init__(self, folder, card):
        self.folder = folder
        self.run("join", card)

    def run(self, *arguments):
        command = [os.environ["SAMENSPRAAK_PROGRAM"], "phone", "--data", str(self.folder), *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def sync(self):
        self.run("sync")

    def new_meeting(self, title, agenda):
        items = [word for item in agenda for word in ("--item", item)]
        return self.run("notes", "new", "--title", title, *items).split()[0]

    def add(self, meeting, title):
        self.run("notes", "add-item", meeting, title)

    def append(self, meeting, item, text):
        self.run("notes", "append", meeting, str(item + 1), text)

    def notes(self, meeting):
        printed, heads = self.run("notes", "show", meeting, "--heads").rsplit("heads: ", 1)
        return shown_notes(printed, heads.split())

    def close(self):
        pass


class BrowserPhone:
    """The npm package in a tab of a real browser, asked over a pipe: a line of JSON each way."""

    def __init__(self, folder, card):
        command = [*json.loads(os.environ["SAMENSPRAAK_BROWSER_PHONE"]), str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", bufsize=1)
        self.answer()
        self.ask("join", card)

    def ask(self, method, *given):
        self.process.stdin.write(json.dumps({"method": method, "given": given}) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        try:
            answer = json.loads(self.process.stdout.readline() or '{"badly": "it ended"}')
        finally:
            watch.cancel()
        assert "badly" not in answer, answer
        return answer["well"]

    def sync(self):
        self.ask("syncNow")

    def new_meeting(self, title, agenda):
        return self.ask("newMeeting", title, agenda)

    def add(self, meeting, title):
        self.ask("addAgendaItem", meeting, title)

    def append(self, meeting, item, text):
        before = self.ask("meeting", meeting)["agenda"][item]["text"]
        self.ask("setNotes", meeting, item, before, f"{before}\n{text}" if before else text)

    def notes(self, meeting):
        found = self.ask("meeting", meeting)
        return Notes(found["title"], tuple((item["title"], item["text"]) for item in found["agenda"]), tuple(found["heads"]))

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


PHONES = {"python": PythonPhone, "kotlin": KotlinPhone, "program": ProgramPhone, "browser": BrowserPhone}
