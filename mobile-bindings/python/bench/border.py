"""The cost of the border: what a list of 1,000 contributions by others takes on its way to a phone in Kotlin and one in Python.

Makes a wijk, fills it from several phones, and measures one phone after the other, without a network. `cargo xtask bench-border`
calls it. Prints a line `LANGUAGE median_us p95_us` for each.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import samenspraak

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
from world import Server  # noqa: E402

WRITERS, EACH = 20, 50
ITEMS = WRITERS * EACH
WARM, COUNTED = 20, 100
# Some two hundred characters, as in the conversations that the replay knows.
WORDS = (
    "De speeltuin achter de flat is al maanden afgesloten. De kinderen spelen nu op straat, tussen de auto's. Kan er voor de "
    "zomer iets gebeuren? Wij willen met een paar buren best meehelpen met opknappen."
)


def fill(server, folder):
    for writer, card in enumerate(server.cards("resident", WRITERS)):
        with samenspraak.open(folder / f"writer-{writer}", network=False) as wijk:
            wijk.join(card)
            for number in range(EACH):
                title = f"Inbreng {number} van {writer} over de speeltuin"
                wijk.contribute(samenspraak.Content(title=title, text=WORDS, theme=3, buurt="BU03630001"))
            wijk.set_network(True)
            wijk.sync_now()


def in_kotlin(folder, card):
    command = [*json.loads(os.environ["SAMENSPRAAK_KOTLIN_BORDER"]), str(folder), card, str(ITEMS)]
    printed = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout
    return printed.splitlines()[-1]


def in_python(folder, card):
    with samenspraak.open(folder) as wijk:
        wijk.join(card)
        wijk.sync_now()
        wijk.set_network(False)
        took = []
        for _ in range(WARM + COUNTED):
            begun = time.perf_counter_ns()
            found = wijk.contributions(0, ITEMS)
            took.append(time.perf_counter_ns() - begun)
            assert len(found) == ITEMS and all(item.content.text for item in found)
    took = sorted(took[WARM:])
    return f"{took[COUNTED // 2] // 1000} {took[COUNTED * 95 // 100] // 1000}"


with tempfile.TemporaryDirectory() as place:
    folder = pathlib.Path(place)
    server = Server(folder)
    server.start()
    try:
        fill(server, folder)
        for language, measure in (("kotlin", in_kotlin), ("python", in_python)):
            print(language, measure(folder / language, server.cards("resident")[0]), flush=True)
    finally:
        server.stop()
