// swift-tools-version: 6.0
// The core for apps in Swift. `build-xcframework.sh` makes the framework and puts what UniFFI wrote beside these sources; it needs a
// Mac with Xcode. Nothing here was compiled yet: see the README of this folder's parent.
import PackageDescription

let package = Package(
    name: "Samenspraak",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [.library(name: "Samenspraak", targets: ["Samenspraak"])],
    targets: [
        .binaryTarget(name: "samenspraakFFI", path: "build/samenspraakFFI.xcframework"),
        .target(name: "Samenspraak", dependencies: ["samenspraakFFI"], path: "Sources/Samenspraak"),
    ],
    // What UniFFI writes is made for this mode; typed throws work in it.
    swiftLanguageModes: [.v5]
)
