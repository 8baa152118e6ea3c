//! Thin for now: the surface for Kotlin, Swift, Python and the browser comes here. No rule of the domain lives in it.
