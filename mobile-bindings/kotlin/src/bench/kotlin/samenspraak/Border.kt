package samenspraak

import java.nio.file.Path
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import uniffi.samenspraak.Content

private const val ITEMS = 1000

/** Calls that aren't counted: the JVM compiles what runs often, in several steps. */
private const val WARM = 300

/** Calls that are: enough for a 95th percentile that isn't one call's bad luck. */
private const val COUNTED = 200

/**
 * The cost of the border: a list of 1,000 contributions as typed objects, asked again and again. `FOLDER CARD`, without a network. What
 * the core itself takes is in it. Prints `median_us p95_us` on the last line.
 */
fun main(arguments: Array<String>) {
    val (folder, card) = arguments
    val phone = runBlocking {
        Phone.open(Path.of(folder, "store").toString(), FileVault(Path.of(folder, "keys")), JvmConnector(), network = false)
    }
    val took = runBlocking {
        phone.join(card)
        for (number in 1..ITEMS) phone.contribute(Content("Inbreng nummer $number over de speeltuin", WORDS, 3uL, "BU03630001"))
        suspend fun once(): Long {
            val begun = System.nanoTime()
            val list = phone.contributions(0u, ITEMS.toUInt())
            val took = System.nanoTime() - begun
            check(list.size == ITEMS && list[ITEMS - 1].content.text == WORDS) { "the list isn't whole" }
            return took
        }
        repeat(WARM) { once() }
        LongArray(COUNTED) { once() }.sorted()
    }
    runBlocking { phone.close() }
    println("${took[COUNTED / 2] / 1000} ${took[COUNTED * 95 / 100] / 1000}")
    exitProcess(0)
}

/** Some two hundred characters, as in the conversations that the replay knows. */
private const val WORDS =
    "De speeltuin achter de flat is al maanden afgesloten. De kinderen spelen nu op straat, tussen de auto's. Kan er voor de " +
        "zomer iets gebeuren? Wij willen met een paar buren best meehelpen met opknappen."
