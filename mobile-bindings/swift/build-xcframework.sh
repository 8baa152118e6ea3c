#!/usr/bin/env bash
# Builds the core for iPhone, its simulator and the Mac, as build/samenspraakFFI.xcframework, and writes Swift for it.
# Needs a Mac with Xcode and rustup. Run it again whenever the core changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"

device=aarch64-apple-ios
simulator=(aarch64-apple-ios-sim x86_64-apple-ios)
mac=(aarch64-apple-darwin x86_64-apple-darwin)
# As in Package.swift; without them objects are built for a newer system than the app asks for.
export IPHONEOS_DEPLOYMENT_TARGET=16.0 MACOSX_DEPLOYMENT_TARGET=13.0

rustup target add "$device" "${simulator[@]}" "${mac[@]}"
for target in "$device" "${simulator[@]}" "${mac[@]}"; do
  cargo build --release --package samenspraak-mobile --target "$target"
done
built=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

out=$here/build
rm -rf "$out"
mkdir -p "$out/headers" "$out/simulator" "$out/mac" "$here/Sources/Samenspraak/Written"
cargo run --package samenspraak-mobile --features bindgen --bin uniffi-bindgen -- generate --no-format --language swift \
  --out-dir "$out/written" "$built/${mac[0]}/release/libsamenspraak.dylib"
cp "$out/written/samenspraak.swift" "$here/Sources/Samenspraak/Written/"
cp "$out/written/samenspraakFFI.h" "$out/headers/"
# Xcode looks for a map of this name.
cp "$out/written/samenspraakFFI.modulemap" "$out/headers/module.modulemap"

# One library for each kind of machine: both processors in one file.
lipo -create "$built/${simulator[0]}/release/libsamenspraak.a" "$built/${simulator[1]}/release/libsamenspraak.a" \
  -output "$out/simulator/libsamenspraak.a"
lipo -create "$built/${mac[0]}/release/libsamenspraak.a" "$built/${mac[1]}/release/libsamenspraak.a" -output "$out/mac/libsamenspraak.a"
xcodebuild -create-xcframework \
  -library "$built/$device/release/libsamenspraak.a" -headers "$out/headers" \
  -library "$out/simulator/libsamenspraak.a" -headers "$out/headers" \
  -library "$out/mac/libsamenspraak.a" -headers "$out/headers" \
  -output "$out/samenspraakFFI.xcframework"
