package samenspraak

import java.nio.file.Path
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking

/** Calls that aren't counted: the JVM compiles what runs often, in several steps. */
private const val WARM = 300

/** Calls that are: enough for a 95th percentile that isn't one call's bad luck. */
private const val COUNTED = 200

/**
 * The cost of the border: the list of a wijk's contributions as typed objects, asked again and again. `FOLDER CARD ITEMS`; the server
 * that the card names has so many. What the core itself takes is in it. Prints `median_us p95_us` on the last line.
 */
fun main(arguments: Array<String>) {
    val (folder, card, items) = arguments
    val count = items.toInt()
    val took = runBlocking {
        val phone = Phone.open(Path.of(folder, "store").toString(), FileVault(Path.of(folder, "keys")), JvmConnector())
        phone.join(card)
        phone.syncNow()
        phone.setNetwork(false)
        suspend fun once(): Long {
            val begun = System.nanoTime()
            val list = phone.contributions(0u, count.toUInt())
            val took = System.nanoTime() - begun
            check(list.size == count && list.all { it.content.text.isNotEmpty() }) { "the list isn't whole" }
            return took
        }
        repeat(WARM) { once() }
        LongArray(COUNTED) { once() }.sorted().also { phone.close() }
    }
    println("${took[COUNTED / 2] / 1000} ${took[COUNTED * 95 / 100] / 1000}")
    exitProcess(0)
}
