package samenspraak

import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asSharedFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.onStart
import uniffi.samenspraak.Connector
import uniffi.samenspraak.Contribution
import uniffi.samenspraak.KeyVault
import uniffi.samenspraak.Listener
import uniffi.samenspraak.Meeting
import uniffi.samenspraak.SyncState
import uniffi.samenspraak.Timeline
import uniffi.samenspraak.Wijk
import uniffi.samenspraak.WijkException
import uniffi.samenspraak.WijkInterface
import uniffi.samenspraak.openWijk

/**
 * One wijk on this device: the core's commands and views, and flows of what a screen shows.
 *
 * Every command returns when it is flushed on this device; none waits for the network. Flows begin with what is here and go on
 * whenever it reads differently. What fails throws a [WijkException], one case for each thing an app can do something about.
 */
class Phone private constructor(
    private val wijk: Wijk,
    private val notices: Notices,
) : WijkInterface by wijk {
    /** How this device and its server are. */
    val sync: StateFlow<SyncState> get() = notices.state

    /** Ids of contributions, meetings and sealed stories that read differently from now on. */
    val changes: SharedFlow<Set<String>> get() = notices.changes

    /** The first [count] contributions from [first] on, as they are and whenever they change. */
    fun contributionsFlow(first: UInt = 0u, count: UInt = 1000u): Flow<List<Contribution>> =
        looking { contributions(first, count) }

    /** One contribution with all that happened to it; `null` once it is gone. */
    fun timelineFlow(id: String): Flow<Timeline?> = looking(id) { orNull { timeline(id) } }

    /** A meeting with its notes; `null` once it is gone. */
    fun meetingFlow(id: String): Flow<Meeting?> = looking(id) { orNull { meeting(id) } }

    private fun <T> looking(id: String? = null, look: suspend () -> T): Flow<T> =
        changes
            // An empty set means that anything may read differently.
            .filter { id == null || it.isEmpty() || id in it }
            .onStart { emit(emptySet()) }
            .conflate()
            .map { look() }
            .distinctUntilChanged()

    /** Closes the folder in order; every later call throws [WijkException.Closed]. */
    suspend fun close() = wijk.end()

    companion object {
        /**
         * Opens the folder of a device, making it when it isn't there. A folder can be open once at a time. [network] says whether
         * there is one now, as far as the platform knows.
         */
        suspend fun open(folder: String, vault: KeyVault, connector: Connector, network: Boolean = true): Phone {
            val notices = Notices()
            val wijk = openWijk(folder, vault, connector, notices, network)
            notices.syncState(wijk.syncState())
            return Phone(wijk, notices)
        }
    }
}

private suspend fun <T> orNull(look: suspend () -> T): T? =
    try {
        look()
    } catch (_: WijkException.NotFound) {
        null
    }

private class Notices : Listener {
    private val told = MutableStateFlow<SyncState>(SyncState.NotJoined)
    private val changed =
        MutableSharedFlow<Set<String>>(extraBufferCapacity = 64, onBufferOverflow = BufferOverflow.DROP_OLDEST)
    val state = told.asStateFlow()
    val changes = changed.asSharedFlow()

    override fun changed(ids: List<String>) {
        changed.tryEmit(ids.toSet())
    }

    override fun syncState(state: SyncState) {
        told.value = state
    }
}
