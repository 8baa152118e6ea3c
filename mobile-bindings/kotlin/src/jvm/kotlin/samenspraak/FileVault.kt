package samenspraak

import java.io.IOException
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.nio.file.StandardOpenOption
import java.nio.file.attribute.PosixFilePermissions
import uniffi.samenspraak.KeyVault
import uniffi.samenspraak.KeyVaultException

/** Keeps keys in files of their owner alone, on systems with such files. On Android the Keystore takes its place. */
class FileVault(private val folder: Path) : KeyVault {
    override fun key(name: String): ByteArray? =
        try {
            Files.readAllBytes(folder.resolve(name))
        } catch (_: NoSuchFileException) {
            null
        } catch (problem: IOException) {
            throw KeyVaultException.Failed(problem.toString())
        }

    override fun keep(name: String, key: ByteArray) {
        try {
            key(name)?.let { if (it.contentEquals(key)) return else throw KeyVaultException.Taken() }
            Files.createDirectories(folder)
            val fresh = folder.resolve("$name.new")
            Files.deleteIfExists(fresh)
            Files.createFile(fresh, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))
            FileChannel.open(fresh, StandardOpenOption.WRITE).use { file ->
                file.write(java.nio.ByteBuffer.wrap(key))
                file.force(true)
            }
            Files.move(fresh, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE)
            FileChannel.open(folder, StandardOpenOption.READ).use { it.force(true) }
        } catch (problem: IOException) {
            throw KeyVaultException.Failed(problem.toString())
        }
    }
}
