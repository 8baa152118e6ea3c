// A phone in the terminal, in Kotlin: what an app does, without a screen. It uses the library as any app would.
plugins {
    kotlin("jvm")
    application
}

repositories { mavenCentral() }

dependencies { implementation(project(":")) }

kotlin { jvmToolchain(17) }

application { mainClass = "samenspraak.terminal.MainKt" }
