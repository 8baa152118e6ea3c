// A phone in the terminal, in Kotlin: what an app does, without a screen. It uses the library as any app would.
plugins {
    kotlin("jvm")
    application
}

repositories { mavenCentral() }

dependencies { implementation(project(":")) }

kotlin { jvmToolchain(17) }

application {
    mainClass = "samenspraak.terminal.MainKt"
    // Where `cargo xtask bindings` built the core.
    applicationDefaultJvmArgs = listOf("-Djna.library.path=${rootDir.resolve("../../target/debug")}")
}

// Gradle gives a program nothing to read unless it is told to.
tasks.named<JavaExec>("run") { standardInput = System.`in` }
