"""Promise: every Swift file can be read, and what our Swift calls exists in what UniFFI wrote, with these labels and types.

No compiler is here: these are the mistakes that can be found without one, and each kind of them is made on purpose below.
"""

import pathlib
import re
import subprocess

import pytest
from declarations import Declarations, parse
from uses import Platform, Uses, calls

OURS = ["Phone.swift", "PhoneTogether.swift", "Looking.swift", "KeychainVault.swift", "URLSessionConnector.swift"]


def platform():
    return Platform((pathlib.Path(__file__).parent / "platform.txt").read_text().splitlines())


@pytest.fixture(scope="session")
def sources(swift):
    found = {file.name: file.read_text() for file in (swift / "Sources" / "Samenspraak").glob("*.swift")}
    assert sorted(found) == sorted(OURS)
    return found


@pytest.fixture(scope="session")
def document(swift):
    """The code of `swift.md` as one function, its imports before it."""
    text = (swift.parent / "docs" / "swift.md").read_text()
    blocks = re.findall(r"^```swift\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 7
    lines = "".join(blocks).splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    body = ["    " + line for line in lines if not line.startswith("import ")]
    return "\n".join([*imports, "func appInADay(folder: URL, card: String) async throws {", *body, "}"]) + "\n"


def problems(written, files):
    """What is wrong in these files, by name."""
    declared, roots, found = Declarations(), {}, []
    declared.read(parse((written / "samenspraak.swift").read_bytes())[0])
    for name, source in files.items():
        roots[name], odd = parse(source.encode())
        found += [f"{name}: {one}" for one in odd]
        declared.read(roots[name])
    for name, root in roots.items():
        found += Uses(declared, platform()).look(name, root).problems
    return found


def test_every_file_can_be_read(written, swift, sources, document):
    files = {**sources, "swift.md": document, "Package.swift": (swift / "Package.swift").read_text()}
    files["samenspraak.swift"] = (written / "samenspraak.swift").read_text()
    for name, source in files.items():
        root, odd = parse(source.encode())
        assert not odd, (name, odd)
        assert calls(root) >= 2, name
    assert parse(b"func half( {")[1]


def test_what_our_swift_uses_is_there_with_these_labels_and_types(written, sources, document):
    assert problems(written, {**sources, "swift.md": document}) == []


def unwrapped(written, sources):
    """Methods of the core that our `Phone` doesn't pass on."""
    declared = Declarations().read(parse((written / "samenspraak.swift").read_bytes())[0])
    ours = "".join(sources.values())
    # An app has no exit of its own on these systems.
    return {name for name in declared.types["WijkProtocol"].methods if f"wijk.{name}(" not in ours} - {"endBlocking"}


def test_all_that_the_core_can_do_an_app_in_swift_can_do(written, sources):
    assert unwrapped(written, sources) == set()
    less = {**sources, "Phone.swift": sources["Phone.swift"].replace("wijk.speak(", "wijk.say(")}
    assert unwrapped(written, less) == {"speak"}


MISTAKES = [
    # A label, a name, a value too few or too many, a value in the wrong order.
    ("Phone.swift", "wijk.contribute(content: content)", "wijk.contribute(contents: content)"),
    ("Phone.swift", "wijk.askErasure(id: id)", "wijk.askErazure(id: id)"),
    ("Phone.swift", "wijk.setNotes(id: id, item: item, before: before, text: text)", "wijk.setNotes(id: id, item: item, text: text)"),
    ("Phone.swift", "wijk.edit(id: id, content: content)", "wijk.edit(content: content, id: id)"),
    ("Phone.swift", "wijk.me()", "wijk.me(now: true)"),
    ("PhoneTogether.swift", "wijk.rulingsOn(id: id)", "wijk.rulings(on: id)"),
    # A method that another type has.
    ("Phone.swift", "try await wijk.syncNow()", "try await wijk.finish()"),
    # A free function, a case, a type, a property.
    ("Phone.swift", "connector: connector, listener: notices", "connector: connector, hearing: notices"),
    ("Phone.swift", "catch WijkError.NotFound", "catch WijkError.Missing"),
    ("Phone.swift", "-> [OwnSealed] {", "-> [OwnStory] {"),
    ("KeychainVault.swift", "KeyVaultError.Locked", "KeyVaultError.Closed"),
    ("KeychainVault.swift", 'KeyVaultError.Failed(reason: "the Keychain gave', 'KeyVaultError.Failed(detail: "the Keychain gave'),
    # What a protocol asks for: a label, a type, all of it.
    ("Looking.swift", "func changed(ids: [String]) throws", "func changed(_ ids: [String]) throws"),
    ("URLSessionConnector.swift", "connect(connection: UInt64, url: String, messageBytesMax: UInt64)", "connect(connection: UInt64, url: String, messageBytesMax: Int)"),
    ("KeychainVault.swift", "public func keep(name: String, key: Data)", "public func store(name: String, key: Data)"),
    # The platform's.
    ("URLSessionConnector.swift", "task.closeCode", "task.closingCode"),
    ("URLSessionConnector.swift", "session.webSocketTask(with: address)", "session.webSocketTask(to: address)"),
    # An app's own code.
    ("swift.md", "phone.contribute(", "phone.contribte("),
    ("swift.md", "setNetwork(available: true)", "setNetwork(true)"),
    ("swift.md", "line.steps", "line.step"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), MISTAKES)
def test_a_mistake_is_seen(written, sources, document, name, right, wrong):
    files = {**sources, "swift.md": document}
    assert right in files[name], "the mistake can't be made any more; make another"
    files[name] = files[name].replace(right, wrong)
    assert problems(written, files)


def symbols(written, library):
    """The functions that the Swift calls, that the header declares, and that the library has."""
    source, header = ((written / name).read_text() for name in ("samenspraak.swift", "samenspraakFFI.h"))
    function = re.compile(r"\b((?:ffi|uniffi)_[a-z0-9_]+)\s*\(")
    called = set(function.findall(source)) - set(re.findall(r"func\s+((?:ffi|uniffi)_[a-z0-9_]+)", source))
    listed = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    return called, set(function.findall(header)), {line.split()[-1] for line in listed.splitlines()}


def test_swift_header_and_library_agree(written, library):
    called, declared, exported = symbols(written, library)
    assert len(called) > 50
    assert called - declared == set()
    assert declared - exported == set()


def test_the_header_is_c(written):
    # Words of clang that say nothing about layout.
    ours = ["-D_Nonnull=", "-D_Nullable=", "-include", written / "samenspraakFFI.h"]
    done = subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", *ours, "-x", "c", "/dev/null"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
