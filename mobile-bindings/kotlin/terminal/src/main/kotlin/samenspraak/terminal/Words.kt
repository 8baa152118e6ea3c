package samenspraak.terminal

import java.time.LocalDate
import java.time.format.DateTimeFormatter
import java.util.Locale
import java.util.Properties
import uniffi.samenspraak.Outcome
import uniffi.samenspraak.Progress
import uniffi.samenspraak.SyncState
import uniffi.samenspraak.WijkException

/** All that people read, from the message file. Somebody's words never reach the terminal with control characters in them. */
object Words {
    private val texts = Properties().also { texts ->
        val file = Words::class.java.getResourceAsStream("nl.properties") ?: error("the message file is missing")
        file.reader(Charsets.UTF_8).use(texts::load)
    }
    private val days = DateTimeFormatter.ofPattern("d MMMM uuuu", Locale.forLanguageTag("nl"))

    /** A text with values; a name that isn't there is a mistake of ours. */
    fun text(name: String, vararg values: Pair<String, Any>): String {
        val pattern = texts.getProperty(name) ?: error("there is no text $name")
        val given = values.toMap()
        // In one pass: what somebody wrote may hold braces of its own.
        return PLACE.replace(pattern) { place -> given.getValue(place.groupValues[1]).toString() }
    }

    fun day(day: UInt): String = LocalDate.ofEpochDay(day.toLong()).format(days)

    fun line(words: String): String = words.map { if (it.isISOControl()) ' ' else it }.joinToString("")

    fun lines(words: String): String = words.filter { it == '\n' || !it.isISOControl() }

    fun progress(progress: Progress): String = when (progress) {
        Progress.Saved -> text("state-saved")
        Progress.OnTheWay -> text("state-on-the-way")
        is Progress.Arrived -> text("state-arrived", "day" to day(progress.day))
        is Progress.Refused -> text("state-refused")
    }

    fun status(state: SyncState): String = when (state) {
        SyncState.NotJoined -> text("status-not-joined")
        is SyncState.Offline -> text(if (state.refused) "status-refused" else "status-offline")
        SyncState.Syncing -> text("status-syncing")
        SyncState.UpToDate -> text("status-up-to-date")
    }

    fun outcome(outcome: Outcome): String = when (outcome) {
        Outcome.YES -> text("outcome-yes")
        Outcome.NO -> text("outcome-no")
        Outcome.PARTLY -> text("outcome-partly")
        Outcome.LATER -> text("outcome-later")
    }

    /** What went wrong, for a person. No `else`: a new case of the core doesn't compile until it has words. */
    fun problem(problem: WijkException): String = text(
        when (problem) {
            is WijkException.NotJoined -> "error-not-joined"
            is WijkException.AlreadyJoined -> "error-already-joined"
            is WijkException.Card -> "error-card"
            is WijkException.Invalid -> "error-invalid"
            is WijkException.NotFound -> "error-not-found"
            is WijkException.NotAllowed -> "error-not-allowed"
            is WijkException.NoKeyYet -> "error-no-key-yet"
            is WijkException.Revoked -> "error-revoked"
            is WijkException.Cloned -> "error-cloned"
            is WijkException.NoSpace -> "error-no-space"
            is WijkException.InUse -> "error-in-use"
            is WijkException.Key -> "error-key"
            is WijkException.Damaged -> "error-damaged"
            is WijkException.Offline -> "error-offline"
            is WijkException.Refused -> "error-refused"
            is WijkException.Untrusted -> "error-untrusted"
            is WijkException.Closed -> "error-closed"
            is WijkException.Unexpected -> "error-unexpected"
        },
    )

    private val PLACE = Regex("""\{([a-z]+)}""")
}
