"""A phone of a Samenspraak wijk: join with a card, write without a network, sync, read what was answered.

    import samenspraak

    with samenspraak.open("phone") as wijk:
        wijk.join(card)
        wijk.contribute(samenspraak.Content(title="Lantaarn kapot", text="Al drie weken."))
        wijk.sync_now()

In asyncio, ``samenspraak.open_async`` gives the same object with methods to await. What a method does, and which
``WijkError`` it raises, stands in its help: it is the core's own.
"""

from ._core import (  # noqa: F401
    AgendaItem,
    BackgroundSync,
    ConnectionError,
    Connector,
    Content,
    Contribution,
    Decided,
    Erasure,
    KeyVault,
    KeyVaultError,
    Listener,
    Me,
    Meeting,
    Outcome,
    OwnSealed,
    Present,
    Progress,
    Role,
    SealedStory,
    Step,
    SyncState,
    Timeline,
    Voice,
    Voices,
    WijkError,
    card_link,
    check_card,
)
from .platform import FileVault, WebSockets  # noqa: F401
from .wijk import AsyncWijk, Changes, Wijk, open, open_async  # noqa: F401
