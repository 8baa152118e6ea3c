"""What Swift files declare: types with their members, and functions with their labels, read from their syntax trees."""

import dataclasses
import re

import tree_sitter_swift
from tree_sitter import Language, Parser

_PARSER = Parser(Language(tree_sitter_swift.language()))

# Valid Swift that the grammar lacks: an attribute that UniFFI writes, and a closure whose body is an empty tuple.
_UNKNOWN = [(re.compile(rb"@_documentation\([^)\n]*\)"), b" "), (re.compile(rb"\{ \(\) \}"), b" ")]


def parse(source: bytes):
    """The tree of a file, and what in it can't be read."""
    for pattern, _ in _UNKNOWN:
        keep = b"{    }" if pattern.pattern.startswith(rb"\{") else None
        source = pattern.sub(lambda found: keep or b" " * len(found.group()), source)
    root = _PARSER.parse(source).root_node
    odd = [f"line {node.start_point[0] + 1}: {node.text[:60].decode()!r}" for node in walk(root) if node.is_error or node.is_missing]
    return root, odd


def walk(node):
    """The node and all below it, in order."""
    yield node
    for child in node.children:
        yield from walk(child)


def text(node):
    return node.text.decode()


def child(node, *kinds):
    return next((one for one in node.children if one.type in kinds), None)


def plain(written):
    """A type as it is compared: without spaces, `any`, and attributes."""
    return re.sub(r"@\w+\s*|\bany\s+|\bborrowing\s+|\s+", "", written)


def labelled(labels):
    """Labels as Swift's documentation writes them."""
    return "".join(f"{label or '_'}:" for label in labels)


@dataclasses.dataclass
class Signature:
    """A function: label, type and whether it may be left out, of each parameter; what it returns."""

    name: str
    parameters: list[tuple[str | None, str, bool]]
    returns: str | None
    effects: str = ""

    def takes(self, labels):
        """Whether it can be called with these labels; a closure behind the call is a label of ``"{}"``."""
        return _takes(self.parameters, labels)

    def __str__(self):
        return f"{self.name}({labelled(label for label, _, _ in self.parameters)})"


def _takes(parameters, labels):
    if not parameters:
        return not labels
    label, _, may_miss = parameters[0]
    if labels and labels[0] in (label, "{}") and _takes(parameters[1:], labels[1:]):
        return True
    return may_miss and _takes(parameters[1:], labels)


@dataclasses.dataclass
class Type:
    """A struct, class, actor, enum or protocol."""

    name: str
    is_protocol: bool = False
    # Not where only extensions of it were read.
    is_declared: bool = False
    conforms: list[str] = dataclasses.field(default_factory=list)
    methods: dict[str, list[Signature]] = dataclasses.field(default_factory=dict)
    inits: list[Signature] = dataclasses.field(default_factory=list)
    properties: dict[str, str | None] = dataclasses.field(default_factory=dict)
    stored: list[tuple[str, str, bool]] = dataclasses.field(default_factory=list)
    cases: dict[str, list[tuple[str | None, str, bool]]] = dataclasses.field(default_factory=dict)

    def constructors(self):
        return self.inits or [Signature("init", list(self.stored), self.name)]


class Declarations:
    """All that some files declare."""

    def __init__(self):
        self.types, self.functions = {}, {}
        # What at the top of a file is for others to name.
        self.public = set()

    def read(self, root):
        for node in root.children:
            name, modifiers = child(node, "simple_identifier", "type_identifier"), child(node, "modifiers")
            if name is not None and modifiers is not None and text(modifiers).split()[-1] in ("public", "open"):
                self.public.add(text(name))
            self._read(node, None)
        return self

    def type(self, name):
        return self.types.setdefault(name, Type(name))

    def members(self):
        """Every name that something of ours has."""
        for one in self.types.values():
            yield from (*one.methods, *one.properties, *one.cases)

    def methods(self, name):
        return [signature for one in self.types.values() for signature in one.methods.get(name, [])]

    def cases(self, name):
        return [one.cases[name] for one in self.types.values() if name in one.cases]

    def _read(self, node, owner):
        if node.type in ("class_declaration", "protocol_declaration"):
            self._type(node)
        elif node.type in ("function_declaration", "protocol_function_declaration"):
            found = signature(node)
            (owner.methods if owner else self.functions).setdefault(found.name, []).append(found)
        elif node.type == "init_declaration" and owner:
            owner.inits.append(dataclasses.replace(signature(node), name="init", returns=owner.name))
        elif node.type in ("property_declaration", "protocol_property_declaration") and owner:
            self._property(node, owner)
        elif node.type == "enum_entry" and owner:
            self._cases(node, owner)

    def _type(self, node):
        name = child(node, "type_identifier", "user_type")
        one = self.type(text(name).split(".")[-1])
        one.is_declared |= child(node, "extension") is None
        one.is_protocol |= node.type == "protocol_declaration"
        # Not for an extension, whose protocols count as well.
        one.conforms += [plain(text(found)) for found in node.children if found.type == "inheritance_specifier"]
        body = child(node, "class_body", "enum_class_body", "protocol_body")
        for member in body.children if body else []:
            self._read(member, one)

    def _property(self, node, owner):
        name = text(child(node, "pattern"))
        annotation = child(node, "type_annotation")
        written = plain(text(annotation).lstrip(":")) if annotation else None
        owner.properties[name] = written
        modifiers = child(node, "modifiers")
        is_static = modifiers is not None and "static" in text(modifiers)
        if not is_static and child(node, "computed_property") is None:
            owner.stored.append((name, written or "", child(node, "=") is not None))

    def _cases(self, node, owner):
        for name in [one for one in node.children if one.type == "simple_identifier"]:
            values = child(node, "enum_type_parameters")
            found, label = [], None
            for part in values.named_children if values else []:
                if part.type == "simple_identifier":
                    label = text(part)
                elif part.type not in ("comment", "multiline_comment"):
                    found.append((label, plain(text(part)), False))
                    label = None
            owner.cases[text(name)] = found


def signature(node):
    """A function's name, parameters and what it returns."""
    name = child(node, "simple_identifier")
    parameters, returns, effects = [], None, []
    children = node.children
    for at, one in enumerate(children):
        following = children[at + 1].type if at + 1 < len(children) else ""
        if one.type == "parameter":
            names = [text(part) for part in one.children if part.type == "simple_identifier"]
            written = plain(text(one).split(":", 1)[1])
            parameters.append((None if names[0] == "_" else names[0], written, following == "="))
        elif one.type == "->":
            returns = plain(text(children[at + 1]))
        elif one.type in ("async", "throws", "throws_clause"):
            effects.append(text(one))
    return Signature(text(name) if name else "init", parameters, returns, " ".join(effects))
