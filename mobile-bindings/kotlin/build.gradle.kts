// The library for the JVM; an Android module takes `src/main` and brings a connector and a vault of its own (README.md).
// What UniFFI wrote is put into build/written by `cargo xtask bindings`.
plugins {
    kotlin("jvm") version "2.4.20"
    `java-library`
}

repositories { mavenCentral() }

dependencies {
    // Calls the core's library.
    api("net.java.dev.jna:jna:5.17.0")
    // Suspending calls and flows.
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.10.2")
}

kotlin {
    jvmToolchain(17)
    sourceSets["main"].kotlin.srcDirs("src/main/kotlin", "src/jvm/kotlin", "../../target/bindings/written/kotlin")
    sourceSets["test"].kotlin.srcDirs("src/test/kotlin")
}
