package samenspraak.terminal

import java.nio.file.Files
import java.nio.file.Path
import kotlin.system.exitProcess
import kotlinx.coroutines.runBlocking
import samenspraak.FileVault
import samenspraak.JvmConnector
import samenspraak.Phone
import uniffi.samenspraak.WijkException

/** Stands before every line that is typed, and says that the line before it is done. */
private const val PROMPT = "> "

/**
 * A phone in the terminal: `FOLDER [--offline]`. Reads a command a line, until `quit` or the end of what is typed. It may be killed
 * at any moment: what it said was saved is there when it is started again.
 */
fun main(arguments: Array<String>) {
    val folder = arguments.firstOrNull { !it.startsWith("--") }
    if (folder == null) {
        System.err.println("usage: FOLDER [--offline]")
        exitProcess(2)
    }
    val code = runBlocking { run(Files.createDirectories(Path.of(folder)), "--offline" !in arguments) }
    // The threads of a connection must not keep the process.
    exitProcess(code)
}

private suspend fun run(folder: Path, network: Boolean): Int {
    val phone = try {
        Phone.open(folder.resolve("store").toString(), FileVault(folder.resolve("keys")), JvmConnector(), network)
    } catch (problem: WijkException) {
        report(problem)
        return 1
    }
    say(Words.text("welcome"))
    val commands = Commands(phone, ::say)
    val typed = System.`in`.bufferedReader(Charsets.UTF_8)
    while (true) {
        out.print(PROMPT)
        out.flush()
        val line = typed.readLine() ?: break
        try {
            if (!commands.run(line)) break
        } catch (problem: Mistyped) {
            say(problem.words)
        } catch (problem: WijkException) {
            report(problem)
        }
    }
    phone.close()
    return 0
}

/** Whatever the terminal says of itself: people's words are UTF-8. */
private val out = java.io.PrintStream(java.io.FileOutputStream(java.io.FileDescriptor.out), false, Charsets.UTF_8)

private fun say(words: String) = out.println(words)

private fun report(problem: WijkException) {
    say(Words.problem(problem))
    out.flush()
    // For whoever looks into it; the case has the words for people.
    System.err.println(problem)
}
