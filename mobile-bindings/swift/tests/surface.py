"""Prints what an app maker can name in the Swift that UniFFI wrote: `surface.py samenspraak.swift`."""

import pathlib
import sys

from declarations import Declarations, parse

# UniFFI's own, which an app never names. Of a class its protocol says all there is.
INNER = ("uniffi", "Ffi", "Impl", "NoHandle")


def is_ours(declared, name):
    return name in declared.public and not any(word in name for word in INNER)


def shown(signature):
    parameters = ", ".join(f"{label or '_'}: {kind}{' = …' if may_miss else ''}" for label, kind, may_miss in signature.parameters)
    effects = f" {signature.effects}" if signature.effects else ""
    return f"func {signature.name}({parameters}){effects}" + (f" -> {signature.returns}" if signature.returns else "")


def values(case):
    return "(" + ", ".join(f"{label}: {kind}" if label else kind for label, kind, _ in case) + ")" if case else ""


def surface(declared):
    for name, found in sorted(declared.functions.items()):
        if is_ours(declared, name):
            yield from (shown(one) for one in found)
    for one in sorted(declared.types.values(), key=lambda one: one.name):
        if not is_ours(declared, one.name) or one.name == "Wijk":
            continue
        yield f"{'protocol' if one.is_protocol else 'type'} {one.name}"
        yield from (f"    {shown(found)}" for signatures in one.methods.values() for found in signatures)
        yield from (f"    var {name}: {kind}" for name, kind in one.properties.items() if kind and name != "errorDescription")
        yield from (f"    case {name}{values(case)}" for name, case in one.cases.items())
        # A struct is made with what it holds; what may be left out is seen there.
        yield from (f"    init({', '.join(f'{label}:' for label, _, may in made.parameters if not may)})" for made in one.inits)


declared = Declarations().read(parse(pathlib.Path(sys.argv[1]).read_bytes())[0])
print("\n".join(surface(declared)))
