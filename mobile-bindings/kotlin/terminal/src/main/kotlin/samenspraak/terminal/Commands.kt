package samenspraak.terminal

import samenspraak.Phone
import uniffi.samenspraak.Content
import uniffi.samenspraak.Contribution
import uniffi.samenspraak.Erasure
import uniffi.samenspraak.Meeting
import uniffi.samenspraak.Step

/** Characters of an id in lists: enough to tell hundreds of thousands apart, short enough to type. */
private const val ID_CHARS = 12

/** The most that the core gives at once. */
private const val PAGE = 1000u

/** What was typed isn't a command, or names nothing. */
class Mistyped(val words: String) : Exception(words)

/** What a person types, done on a phone. Every command returns when what it says is true. */
class Commands(private val phone: Phone, private val say: (String) -> Unit) {
    /** Does one line; `false` when it was the last. */
    suspend fun run(line: String): Boolean {
        val (command, rest) = split(line)
        when (command) {
            "" -> {}
            "help" -> say(Words.text("help"))
            "join" -> join(rest)
            "write" -> write(rest)
            "list" -> list()
            "show" -> show(rest)
            "erase" -> erase(rest)
            "erasure" -> erasure(rest)
            "notes" -> notes(rest)
            "network" -> network(rest)
            "status" -> say(Words.status(phone.syncState()))
            "sync" -> phone.syncNow().also { say(Words.text("synced")) }
            "quit" -> return false
            else -> throw Mistyped(Words.text("unknown"))
        }
        return true
    }

    private suspend fun join(link: String) {
        phone.join(link)
        say(Words.text("joined", "wijk" to phone.me()!!.wijk))
    }

    private suspend fun write(words: String) {
        val (title, text) = parts(words, 2, "write TITEL | TEKST")
        val id = phone.contribute(Content(title, text, 0uL, ""))
        // Flushed when that returned; how far it got since is asked, never assumed.
        say("$id  ${Words.progress(phone.contribution(id).own!!)}")
    }

    private suspend fun list() {
        val all = contributions()
        if (all.isEmpty()) say(Words.text("nothing"))
        for (one in all) say("${one.id.take(ID_CHARS)}  ${Words.line(one.content.title)}${state(one)}")
    }

    private fun state(one: Contribution) = one.own?.let { "  [${Words.progress(it)}]" }.orEmpty()

    private suspend fun show(id: String) {
        val line = phone.timeline(contribution(id))
        say(Words.line(line.contribution.content.title))
        say(indented(line.contribution.content.text))
        for (step in line.steps) step(step)
    }

    private fun step(step: Step) {
        when (step) {
            is Step.Written -> say("- ${Words.progress(step.progress)}")
            is Step.Received -> say("- ${Words.text("step-received", "day" to Words.day(step.day))}")
            Step.Replaced -> say("- ${Words.text("step-replaced")}")
            is Step.Voices -> say("- ${voices(step)}")
            is Step.Ruled -> say("- ${Words.text("step-ruled", "reason" to Words.line(step.reason))}")
            is Step.ErasureSigned -> say("- ${Words.text("step-erasure-signed", "ground" to Words.line(step.ground))}")
            is Step.Decided -> decided(step)
            Step.NotAgreed -> say("- ${Words.text("step-not-agreed")}")
        }
    }

    private fun voices(step: Step.Voices): String {
        val counts = step.voices ?: return Words.text("step-voices")
        val numbers = arrayOf("support" to counts.support, "agree" to counts.agree, "disagree" to counts.disagree, "pass" to counts.pass)
        return Words.text("step-voices-board", *numbers)
    }

    private fun decided(step: Step.Decided) {
        val decision = step.decision
        val outcome = "outcome" to Words.outcome(decision.outcome)
        val day = decision.receivedDay
        say("- ${if (day == null) Words.text("step-decided", outcome) else Words.text("step-decided-on", outcome, "day" to Words.day(day))}")
        say("  ${Words.text("step-reason", "reason" to Words.line(decision.reason))}")
        if (decision.party.isNotEmpty()) say("  ${Words.text("step-party", "party" to Words.line(decision.party))}")
        decision.dueDay?.let { say("  ${Words.text("step-due", "day" to Words.day(it))}") }
        say("  ${Words.text("step-answer", "answer" to Words.line(decision.answer))}")
    }

    private suspend fun erase(beginning: String) {
        val id = contribution(beginning)
        phone.erase(id)
        say("$id  ${Words.text("erasing")}")
    }

    private suspend fun erasure(id: String) {
        phone.askErasure(id)
        // Without a network the last word that came is told.
        if (phone.syncState() !is uniffi.samenspraak.SyncState.Offline) phone.syncNow()
        val words = when (val reach = phone.erasure(id)) {
            Erasure.NotAsked -> Words.text("erasure-not-asked")
            Erasure.NotThere -> Words.text("erasure-not-there")
            is Erasure.Reached -> Words.text("erasure-reached", "confirmed" to reach.confirmed, "devices" to reach.devices)
        }
        say(words)
    }

    private suspend fun network(word: String) {
        val isOn = when (word) {
            "on" -> true
            "off" -> false
            else -> throw Mistyped(Words.text("usage", "how" to "network on | off"))
        }
        phone.setNetwork(isOn)
        say(Words.text("network-$word"))
    }

    private suspend fun notes(line: String) {
        val (command, rest) = split(line)
        val (id, words) = split(rest)
        when (command) {
            "list" -> listMeetings()
            "new" -> newMeeting(rest)
            "show" -> showMeeting(meeting(id))
            "heads" -> say(meeting(id).heads.joinToString(" "))
            "add" -> meeting(id).let { phone.addAgendaItem(it.id, words) }.also { say(Words.text("state-saved")) }
            "append" -> append(meeting(id), words)
            else -> throw Mistyped(Words.text("unknown"))
        }
    }

    private suspend fun listMeetings() {
        val all = phone.meetings()
        if (all.isEmpty()) say(Words.text("no-meetings"))
        for (one in all) say("${one.id.take(ID_CHARS)}  ${Words.line(one.title)}")
    }

    private suspend fun newMeeting(words: String) {
        val parts = words.split('|').map(String::trim)
        val id = phone.newMeeting(parts[0], parts.drop(1))
        say("$id  ${Words.text("state-saved")}")
    }

    private fun showMeeting(meeting: Meeting) {
        say(Words.line(meeting.title))
        meeting.agenda.forEachIndexed { at, item ->
            say("${at + 1}. ${Words.line(item.title)}")
            if (item.text.isNotEmpty()) say(indented(item.text))
        }
    }

    private suspend fun append(meeting: Meeting, words: String) {
        val usage = Mistyped(Words.text("usage", "how" to "notes append ID NUMMER TEKST"))
        val (number, text) = split(words)
        val item = number.toIntOrNull()?.takeIf { it in 1..meeting.agenda.size && text.isNotEmpty() } ?: throw usage
        val before = meeting.agenda[item - 1].text
        phone.setNotes(meeting.id, (item - 1).toUInt(), before, if (before.isEmpty()) text else "$before\n$text")
        say(Words.text("state-saved"))
    }

    private suspend fun contributions(): List<Contribution> = buildList {
        do {
            val page = phone.contributions(size.toUInt(), PAGE)
            addAll(page)
        } while (page.size.toUInt() == PAGE)
    }

    private suspend fun contribution(beginning: String): String = theOne(beginning, contributions().map { it.id })

    private suspend fun meeting(beginning: String): Meeting =
        phone.meetings().let { all -> theOne(beginning, all.map { it.id }).let { id -> all.first { it.id == id } } }

    private fun theOne(beginning: String, ids: List<String>): String {
        val found = ids.filter { it.startsWith(beginning) && beginning.isNotEmpty() }
        return when (found.size) {
            1 -> found[0]
            0 -> throw Mistyped(Words.text("nothing-begins", "id" to Words.line(beginning)))
            else -> throw Mistyped(Words.text("several-begin", "id" to Words.line(beginning), "count" to found.size))
        }
    }

    private fun indented(words: String) = Words.lines(words).lines().joinToString("\n") { "   $it" }

    private fun parts(words: String, count: Int, usage: String): List<String> =
        words.split('|', limit = count).map(String::trim).takeIf { it.size == count } ?: throw Mistyped(Words.text("usage", "how" to usage))

    private fun split(line: String): Pair<String, String> =
        line.trim().split(' ', limit = 2).let { it[0] to it.getOrElse(1) { "" }.trim() }
}
