"""What Swift files use: every call, member, case and type in them must be declared, with these labels.

Where the type of what stands before a dot is plain to see, the member must be one of that type; else one of any of ours. What is
Swift's or the platform's own stands in ``platform.txt``; a name that is neither is a problem. It is no compiler: whether the types of
arguments fit, and who may touch what from which thread, nobody checks here.
"""

import re

from declarations import Signature, child, labelled, plain, text, walk

_OPTIONAL = re.compile(r"[?!]+$")
# Protocols of Swift's that give their types no member to call.
_GIVES_NOTHING = {"AnyObject", "@uncheckedSendable", "Sendable", "Equatable", "Hashable"}
# Words of the language that the grammar takes for types.
_WORDS = {"async", "unchecked", "unknown"}


class Platform:
    """Names that aren't ours, as Swift's own documentation writes them: `Type`, `member`, `function(label:_:)`."""

    def __init__(self, lines):
        self.names, self.calls = set(), {}
        for line in (line.split("//")[0].strip() for line in lines):
            if "(" in line:
                name, labels = line.rstrip(")").split("(")
                labels = [None if label == "_" else label for label in labels.split(":")[:-1]]
                self.calls.setdefault(name, []).append(Signature(name, [(label, "", False) for label in labels], None))
            elif line:
                self.names.add(line)

    def takes(self, name, labels):
        """Whether there is such a function of the platform's."""
        return any(one.takes(labels) for one in self.calls.get(name, []))


class Uses:
    """Looks at files; ``problems`` has what is wrong in them."""

    def __init__(self, declared, platform):
        self.declared, self.platform, self.problems, self.generic = declared, platform, [], set()
        self.members = set(declared.members()) | platform.names

    def look(self, name, root, known=()):
        self.file = name
        self.generic = {text(child(one, "type_identifier")) for one in walk(root) if one.type == "type_parameter"}
        self._block(root, dict(known), None)
        for one in [one for one in walk(root) if one.type == "class_declaration"]:
            self._promises(one)
        return self

    def _promises(self, node):
        """What a type says that it is, it must have in full, with the same labels and types."""
        one = self.declared.types[text(child(node, "type_identifier", "user_type")).split(".")[-1]]
        for protocol in one.conforms:
            if protocol in self.declared.types and self.declared.types[protocol].is_protocol:
                self._conforms(self.declared.types[protocol], one)

    def _conforms(self, protocol, one):
        for name, wanted in protocol.methods.items():
            for signature in wanted:
                if not any(self._same(signature, found) for found in one.methods.get(name, [])):
                    self._problem(None, f"{one.name} lacks {signature} of {protocol.name} with its types")

    @staticmethod
    def _same(wanted, found):
        types = [[(label, kind) for label, kind, _ in each.parameters] for each in (wanted, found)]
        return types[0] == types[1] and wanted.returns == found.returns

    def _problem(self, node, words):
        place = f"{self.file}:{node.start_point[0] + 1}: " if node else ""
        if f"{place}{words}" not in self.problems:
            self.problems.append(f"{place}{words}")

    # One scope after the other: what a name in it is.

    def _block(self, node, scope, owner):
        if node.type in ("class_declaration", "protocol_declaration"):
            owner = self.declared.types.get(text(child(node, "type_identifier", "user_type")).split(".")[-1])
            scope = dict(scope, self=owner.name if owner else None)
            if owner:
                scope.update(owner.properties)
        elif node.type in ("function_declaration", "init_declaration", "lambda_literal", "catch_block", "for_statement", "if_statement"):
            scope = dict(scope)
        if node.type == "parameter":
            names = [text(part) for part in node.children if part.type == "simple_identifier"]
            scope[names[-1]] = plain(text(node).split(":", 1)[1])
        self._node(node, scope, owner)
        for one in node.children:
            self._block(one, scope, owner)
        # After what is to its right was looked at.
        if node.type == "property_declaration" and child(node, "pattern") is not None:
            annotation = child(node, "type_annotation")
            value = node.children[-1]
            kind = plain(text(annotation).lstrip(":")) if annotation else self._kind(value, scope)
            scope[text(child(node, "pattern"))] = kind
        self._binds(node, scope)

    def _binds(self, node, scope):
        """`if let`, `guard let` and `for … in`: the name is bound before the block, which is a later child."""
        if node.type == "for_statement":
            return
        parts = node.children
        for at, one in enumerate(parts):
            if one.type == "value_binding_pattern" and at + 2 < len(parts) and parts[at + 1].type == "simple_identifier":
                scope.setdefault(text(parts[at + 1]), None)

    # What stands at one place.

    def _node(self, node, scope, owner):
        if node.type == "for_statement":
            pattern = child(node, "pattern")
            source = node.children[[one.type for one in node.children].index("in") + 1]
            if pattern is not None:
                scope[text(pattern)] = element(self._kind(source, scope))
        elif node.type == "call_expression":
            self._call(node, scope, owner)
        elif node.type == "navigation_expression" and not self._is_called(node):
            self._member(node, scope)
        elif node.type == "prefix_expression" and text(node).startswith(".") and not self._is_called(node):
            self._known(node, text(node)[1:])
        elif node.type == "user_type" and node.parent.type not in ("class_declaration",):
            self._types(node)
        elif node.type in ("if_statement", "guard_statement", "switch_pattern", "switch_entry", "catch_block", "pattern"):
            self._pattern(node)

    @staticmethod
    def _is_called(node):
        return node.parent is not None and node.parent.type == "call_expression" and node.parent.children[0] == node

    def _known(self, node, name):
        if name not in self.members:
            self._problem(node, f"nothing has a member `{name}`")

    def _types(self, node):
        for name in [text(one) for one in node.children if one.type == "type_identifier"]:
            if name not in self.declared.types and name not in self.platform.names | self.generic | _WORDS:
                self._problem(node, f"there is no type `{name}`")

    def _member(self, node, scope):
        name = text(node.children[-1]).lstrip(".")
        kind = self._kind(node.children[0], scope)
        one = self.declared.types.get(kind or "")
        if one is not None:
            if name != "self" and name not in (*one.properties, *one.cases, *one.methods):
                self._problem(node, f"`{one.name}` has no `{name}`")
        else:
            self._known(node, name)

    def _pattern(self, node):
        """`.offline(let detail, _, _)`: as many values as the case has."""
        parts = node.children
        for at, one in enumerate(parts):
            if one.type == "." and at + 1 < len(parts) and parts[at + 1].type == "simple_identifier":
                name, bound = text(parts[at + 1]), 0
                bracket = at + 2 < len(parts) and parts[at + 2].type == "("
                for part in parts[at + 3 :] if bracket else []:
                    if part.type == ")":
                        break
                    bound += part.type == "pattern"
                cases = self.declared.cases(name)
                if not cases and name not in self.platform.names and not self.platform.calls.get(name):
                    self._problem(node, f"there is no case `{name}`")
                elif cases and bracket and not any(len(values) == bound for values in cases):
                    self._problem(node, f"`{name}` has other values than {bound}")

    def _call(self, node, scope, owner):
        called, labels, kind = node.children[0], labels_of(node), None
        if called.type == "navigation_expression":
            name = text(called.children[-1]).lstrip(".")
            kind = self._kind(called.children[0], scope)
            candidates = self._candidates(kind, name)
        elif called.type == "prefix_expression":
            name = text(called).lstrip(".")
            candidates = [Signature(name, values, None) for values in self.declared.cases(name)]
        elif called.type == "simple_identifier":
            name = text(called)
            one = self.declared.types.get(name)
            candidates = one.constructors() if one else [*self.declared.functions.get(name, []), *((owner.methods.get(name, [])) if owner else [])]
            if not candidates and name in scope:
                # A closure that somebody handed in.
                return
        else:
            return
        if any(one.takes(labels) for one in candidates) or name == "defer":
            return
        if self._may_be_the_platforms(kind) and self.platform.takes(name, labels):
            return
        shown = f"{name}({labelled(labels)})"
        known = ", ".join(map(str, candidates)) or "nothing of that name"
        self._problem(node, f"there is no {shown}; there is {known}")

    def _may_be_the_platforms(self, kind):
        """A type of ours has members of the platform's only from a class or a protocol that gives some."""
        one = self.declared.types.get(kind or "")
        return one is None or not one.is_declared or any(name not in self.declared.types and name not in _GIVES_NOTHING for name in one.conforms)

    def _candidates(self, kind, name):
        if kind and kind in self.declared.types:
            one = self.declared.types[kind]
            return [*one.methods.get(name, []), *([Signature(name, one.cases[name], kind)] if name in one.cases else [])]
        if kind:
            # Swift's own, or an array of ours.
            return []
        return [*self.declared.methods(name), *(Signature(name, values, None) for values in self.declared.cases(name))]

    # What an expression is, where that is plain to see.

    def _kind(self, node, scope):
        written = self._written(node, scope)
        return _OPTIONAL.sub("", written) if written else None

    def _written(self, node, scope):
        if node.type in ("try_expression", "await_expression", "parenthesized_expression"):
            inner = [one for one in node.named_children if one.type != "try_operator"]
            return self._written(inner[-1], scope) if inner else None
        if node.type == "self_expression":
            return scope.get("self")
        if node.type == "simple_identifier":
            name = text(node)
            return scope.get(name) or (name if name in self.declared.types else None)
        if node.type == "navigation_expression":
            one = self.declared.types.get(self._kind(node.children[0], scope) or "")
            name = text(node.children[-1]).lstrip(".")
            if one is None:
                return None
            return one.name if name in one.cases else one.properties.get(name)
        if node.type == "call_expression":
            return self._returned(node, scope)
        return None

    def _returned(self, node, scope):
        called, labels = node.children[0], labels_of(node)
        if called.type == "simple_identifier":
            name = text(called)
            if name in self.declared.types:
                return name
            candidates = self.declared.functions.get(name, [])
        elif called.type == "navigation_expression":
            candidates = self._candidates(self._kind(called.children[0], scope), text(called.children[-1]).lstrip("."))
            if self._kind(called.children[0], scope) is None:
                return None
        else:
            return None
        return next((one.returns for one in candidates if one.takes(labels)), None)


def labels_of(call):
    """The labels that a call gives, in order."""
    found = []
    for suffix in [one for one in call.children if one.type == "call_suffix"]:
        for part in suffix.children:
            if part.type == "value_arguments":
                arguments = [one for one in part.children if one.type == "value_argument"]
                found += [text(child(one, "value_argument_label")) if child(one, "value_argument_label") else None for one in arguments]
            elif part.type == "lambda_literal":
                found.append("{}")
    return found


def element(kind):
    """What a loop over it gives."""
    if kind and kind.startswith("[") and ":" not in kind:
        return kind[1:-1]
    found = re.fullmatch(r"(?:Looking|AsyncStream)<(.*)>", kind or "")
    return _OPTIONAL.sub("", found.group(1)) if found else None


def calls(root):
    """How many calls there are: a look that finds none has shown nothing."""
    return sum(node.type == "call_expression" for node in walk(root))
