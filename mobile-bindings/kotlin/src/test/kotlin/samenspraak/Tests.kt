package samenspraak

import java.io.File
import java.net.ServerSocket
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.system.exitProcess
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import uniffi.samenspraak.Connector
import uniffi.samenspraak.Content
import uniffi.samenspraak.Erasure
import uniffi.samenspraak.KeyVault
import uniffi.samenspraak.KeyVaultException
import uniffi.samenspraak.Listener
import uniffi.samenspraak.Outcome
import uniffi.samenspraak.Progress
import uniffi.samenspraak.Step
import uniffi.samenspraak.SyncState
import uniffi.samenspraak.Voice
import uniffi.samenspraak.WijkException
import uniffi.samenspraak.openWijk

/** Longer than anything here takes on a slow machine that is busy with something else. */
private const val PATIENCE_MS = 60_000L

/** What some hundred openings may leave: a connector that is kept by each is 64 KiB, a store some MiB. */
private const val LEFT_KIB_MAX = 24 * 1024

private val mould = Content("Schimmel in de slaapkamer", "Al twee winters. De kinderen hoesten.", 0uL, "")

/** A wijk of the real program; it can be stopped and started again on the same port. */
class Server(folder: Path) : AutoCloseable {
    private val program = System.getenv("SAMENSPRAAK_PROGRAM") ?: error("SAMENSPRAAK_PROGRAM names no program")
    private val wijk = folder.resolve("wijk").toString()
    private val port = ServerSocket(0).use { it.localPort }
    private var process: Process? = null

    init {
        val about = arrayOf("--name", "Testwijk", "--municipality", "Testgemeente", "--code", "WK036300", "--year", "2025")
        run("wijk", "new", wijk, *about, "--address", "http://127.0.0.1:$port")
    }

    private fun run(vararg arguments: String): String {
        val ran = ProcessBuilder(program, *arguments).redirectError(File("/dev/null")).start()
        val printed = ran.inputStream.bufferedReader().readText()
        check(ran.waitFor() == 0) { "${arguments.toList()} failed: $printed" }
        return printed
    }

    fun card(role: String) = run("invite", wijk, "--role", role, "--plain").lines().first { it.startsWith("http") }

    suspend fun start() {
        val nowhere = File("/dev/null")
        process = ProcessBuilder(program, "serve", wijk, "--listen", "127.0.0.1:$port")
            .redirectInput(nowhere).redirectOutput(nowhere).redirectError(nowhere).start()
        until("the server is ready") {
            runCatching { java.net.URI("http://127.0.0.1:$port/readyz").toURL().readText() }.isSuccess
        }
    }

    fun stop() {
        process?.destroy()
        process?.waitFor()
        process = null
    }

    override fun close() = stop()
}

suspend fun until(what: String, look: suspend () -> Boolean) =
    try {
        withTimeout(PATIENCE_MS) { while (!look()) delay(10) }
    } catch (problem: kotlinx.coroutines.TimeoutCancellationException) {
        throw AssertionError("waited in vain: $what", problem)
    }

suspend inline fun <reified E : Throwable> fails(act: suspend () -> Unit): E {
    val problem = runCatching { act() }.exceptionOrNull()
    return problem as? E ?: throw AssertionError("${E::class.simpleName} was expected, not $problem")
}

class Scene(private val folder: Path, val server: Server) {
    suspend fun phone(name: String, network: Boolean = true, connector: Connector = JvmConnector()): Phone {
        val place = Files.createDirectories(folder.resolve(name))
        return Phone.open(place.resolve("store").toString(), FileVault(place.resolve("keys")), connector, network)
    }

    fun place(name: String): Path = folder.resolve(name)
}

private val tests: Map<String, suspend Scene.() -> Unit> = mapOf(
    "words written offline arrive, are answered and erased" to {
        val card = server.card("resident")
        val boardCard = server.card("board")
        val amina = phone("amina", network = false)
        check(amina.syncState() == SyncState.NotJoined)
        amina.join(card)
        val mine = amina.contribute(mould)
        check(amina.contribution(mine).own == Progress.Saved)
        amina.close()
        // Another process would open it the same way.
        val again = phone("amina", network = false)
        check(again.contributions(0u, 10u).single().content == mould)
        server.start()
        again.setNetwork(true)
        again.syncNow()
        check(again.contribution(mine).own is Progress.Arrived)

        val board = phone("board")
        board.join(boardCard)
        board.syncNow()
        board.speak(mine, Voice.SUPPORT)
        board.decide(listOf(mine), Outcome.YES, "Het lekt.", "In maart komt de aannemer.", "Woningcorporatie", null, emptyList())
        board.syncNow()
        val answered = withTimeout(PATIENCE_MS) {
            again.timelineFlow(mine).first { line -> line!!.steps.any { it is Step.Decided } }
        }
        check((answered!!.steps.last { it is Step.Decided } as Step.Decided).decision.answer == "In maart komt de aannemer.")
        server.stop()
        check(again.timeline(mine).steps.any { it is Step.Decided })
        again.erase(mine)
        fails<WijkException.NotFound> { again.contribution(mine) }
        server.start()
        again.syncNow()
        board.syncNow()
        check(board.contributions(0u, 10u).isEmpty())
        board.syncNow()
        until("the erasure reached the devices") {
            again.askErasure(mine)
            again.syncNow()
            (again.erasure(mine) as? Erasure.Reached)?.let { it.confirmed >= 2uL } ?: false
        }
        again.close()
        board.close()
    },
    "two phones write the same notes offline and lose no word" to {
        val chair = phone("chair")
        val other = phone("other")
        chair.join(server.card("facilitator"))
        other.join(server.card("facilitator"))
        server.start()
        // What somebody is here is known with the server's word.
        chair.syncNow()
        val meeting = chair.newMeeting("Wijkoverleg", listOf("Groen"))
        chair.syncNow()
        other.syncNow()
        chair.setNetwork(false)
        other.setNetwork(false)
        chair.setNotes(meeting, 0u, "", "Bomen planten. ")
        other.setNotes(meeting, 0u, "", "Hondenpoep. ")
        for (one in listOf(chair, other, chair)) {
            one.setNetwork(true)
            one.syncNow()
        }
        val notes = chair.meeting(meeting).agenda
        check(notes == other.meeting(meeting).agenda)
        check("Bomen planten. " in notes[0].text && "Hondenpoep. " in notes[0].text) { notes }
        chair.close()
        other.close()
    },
    "a hundred callers at once are all answered, and giving up waiting breaks nothing" to {
        val amina = phone("amina", network = false)
        amina.join(server.card("resident"))
        val ids = (1..100).map { runAsync { amina.contribute(Content("Beller $it", "tekst", 0uL, "")) } }
        check(kotlinx.coroutines.coroutineScope { ids.map { async(Dispatchers.Default) { it() } }.awaitAll() }.toSet().size == 100)
        kotlinx.coroutines.coroutineScope {
            val waiting = launch { runCatching { amina.syncNow() } }
            delay(5)
            waiting.cancelAndJoin()
        }
        check(amina.contributionCount() == 100u)
        amina.close()
        fails<WijkException.Closed> { amina.contributionCount() }
    },
    "a listener that throws, blocks or calls back ends nothing" to {
        val calls = AtomicInteger()
        val released = CountDownLatch(1)
        lateinit var asked: () -> UInt
        val wild = object : Listener {
            override fun changed(ids: List<String>) {
                when (calls.incrementAndGet()) {
                    1 -> throw ArithmeticException("the app's own fault")
                    2 -> {
                        check(asked() >= 1u)
                        released.await(30, TimeUnit.SECONDS)
                    }
                }
            }

            override fun syncState(state: SyncState): Unit = throw IllegalStateException("again")
        }
        val place = Files.createDirectories(place("wild"))
        val wijk = openWijk(place.resolve("store").toString(), FileVault(place.resolve("keys")), JvmConnector(), wild, false)
        asked = { runBlocking { wijk.contributionCount() } }
        wijk.join(server.card("resident"))
        for (number in 1..4) {
            wijk.contribute(Content("Bericht $number", "tekst", 0uL, ""))
            until("it was told") { calls.get() >= minOf(number, 2) }
        }
        released.countDown()
        until("it hears of what came meanwhile") { calls.get() >= 3 }
        wijk.end()
        wijk.destroy()
    },
    "a vault that fails is an error and never a new key" to {
        phone("amina", network = false).close()
        for (how in listOf(KeyVaultException.Locked(), KeyVaultException.Failed("kapot"), ArithmeticException("not declared"))) {
            val failing = object : KeyVault {
                override fun key(name: String): ByteArray? = throw how

                override fun keep(name: String, key: ByteArray) = throw AssertionError("a key was made")
            }
            fails<WijkException.Key> {
                openWijk(place("amina").resolve("store").toString(), failing, JvmConnector(), null, false)
            }
        }
        phone("amina", network = false).close()
    },
    "bad input is named" to {
        val amina = phone("amina")
        fails<WijkException.NotJoined> { amina.contribute(mould) }
        fails<WijkException.Card> { amina.join("http://127.0.0.1/kaart") }
        amina.join(server.card("resident"))
        fails<WijkException.Invalid> { amina.contribute(Content("", "", 0uL, "")) }
        fails<WijkException.NotFound> { amina.contribution("0".repeat(32)) }
        fails<WijkException.InUse> { phone("amina") }
        fails<WijkException.Offline> { amina.syncNow() }
        amina.close()
    },
    "a ruling hides words, a poll is answered in secret, a circle is entered" to {
        val author = phone("author")
        val staff = phone("staff")
        author.join(server.card("resident"))
        staff.join(server.card("facilitator"))
        server.start()
        staff.syncNow()
        val words = author.contribute(mould)
        author.syncNow()
        staff.syncNow()
        author.ballot(words, Voice.AGREE)
        check(author.poll(words).own!!.voice == Voice.AGREE && !author.poll(words).counted)
        check(staff.poll(words).own == null)
        fails<WijkException.NotAllowed> { author.rule(words, true, "huisregel 3", "dat mag niet", null) }
        staff.rule(words, true, "huisregel 3", "Hier staat een adres.", null)
        staff.syncNow()
        author.syncNow()
        check(staff.contributionCount() == 0u && staff.ruled().single().hidden)
        check(author.contribution(words).hidden)
        check(author.rulingsOn(words).single().reason == "Hier staat een adres.")

        fails<WijkException.NotAllowed> { author.newCircle() }
        val circle = staff.newCircle()
        val card = staff.inviteToCircle(circle, 1u).single()
        staff.syncNow()
        check(author.joinCircle(card) == circle)
        until("both are in") {
            author.syncNow()
            staff.syncNow()
            author.syncNow()
            author.circleMembers(circle).size == 2
        }
        staff.writeInCircle(circle, "Wat hier staat blijft hier.")
        until("it is read") {
            staff.syncNow()
            author.syncNow()
            author.circleTexts(circle).any { it.content?.text == "Wat hier staat blijft hier." }
        }
        fails<WijkException.NotFound> { author.circleTexts("circle/" + "0".repeat(32)) }
        author.close()
        staff.close()
    },
    "the code of an app in a day runs" to {
        server.start()
        samenspraak.docs.appInADay(place("day").toString(), server.card("resident"))
    },
    "opening and closing again and again leaves nothing" to {
        phone("amina", network = false).also { it.join(server.card("resident")) }.close()
        val openings = System.getenv("SAMENSPRAAK_OPENINGS")?.toInt() ?: 1000
        // The JVM itself grows for a while: it compiles what runs often.
        val warm = openings * 3 / 10
        repeat(warm) { phone("amina", network = false).close() }
        val before = residentKib()
        repeat(openings - warm) { phone("amina", network = false).also { phone -> check(phone.me() != null) }.close() }
        check(residentKib() - before < LEFT_KIB_MAX) { "${residentKib() - before} KiB more" }
    },
)

private fun <T> runAsync(call: suspend () -> T): suspend () -> T = call

private fun residentKib(): Int {
    System.gc()
    return File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }.filter(Char::isDigit).toInt()
}

/** Runs all tests, or those whose names hold the argument; the last line is `N passed, M failed`. */
fun main(arguments: Array<String>) {
    var passed = 0
    var failed = 0
    for ((name, test) in tests.filterKeys { arguments.isEmpty() || arguments[0] in it }) {
        val folder = Files.createTempDirectory("samenspraak")
        val problem = runCatching {
            Server(folder).use { server -> runBlocking { withTimeout(4 * PATIENCE_MS) { Scene(folder, server).test() } } }
        }.exceptionOrNull()
        folder.toFile().deleteRecursively()
        if (problem == null) passed++ else failed++
        println(if (problem == null) "ok      $name" else "FAILED  $name\n${problem.stackTraceToString()}")
    }
    println("$passed passed, $failed failed")
    // The threads of a connection that was left open must not keep the process.
    exitProcess(if (failed == 0 && passed > 0) 0 else 1)
}
