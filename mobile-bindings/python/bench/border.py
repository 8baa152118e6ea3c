"""The cost of the border in Python, as `Border.kt` measures it in Kotlin: `FOLDER CARD`; prints `median_us p95_us`."""

import sys
import time

import samenspraak

ITEMS, WARM, COUNTED = 1000, 20, 100
# As long as in Kotlin.
WORDS = (
    "De speeltuin achter de flat is al maanden afgesloten. De kinderen spelen nu op straat, tussen de auto's. Kan er voor de "
    "zomer iets gebeuren? Wij willen met een paar buren best meehelpen met opknappen."
)


def main():
    folder, card = sys.argv[1:]
    with samenspraak.open(folder, network=False) as wijk:
        wijk.join(card)
        for number in range(1, ITEMS + 1):
            content = samenspraak.Content(title=f"Inbreng nummer {number} over de speeltuin", text=WORDS, theme=3, buurt="BU03630001")
            wijk.contribute(content)
        took = []
        for _ in range(WARM + COUNTED):
            begun = time.perf_counter_ns()
            found = wijk.contributions(0, ITEMS)
            took.append(time.perf_counter_ns() - begun)
            assert len(found) == ITEMS and found[-1].content.text == WORDS
    took = sorted(took[WARM:])
    print(took[COUNTED // 2] // 1000, took[COUNTED * 95 // 100] // 1000)


main()
