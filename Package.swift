// swift-tools-version: 6.0
import PackageDescription

// The iOS library of this repository, here so that SwiftPM takes the repository's own address:
//     .package(url: "https://…/tinysam-mobile.git", branch: "main")
// sample_apps/ios/Package.swift is the same with tests and tools; a test compares the two.
let package = Package(
    name: "TinySAMKit",
    platforms: [.iOS(.v18), .macOS(.v15)],
    products: [
        .library(name: "TinySAMKit", targets: ["TinySAMKit"]),
        .library(name: "TinySAMCoreML", targets: ["TinySAMCoreML"]),
    ],
    targets: [
        .target(name: "TinySAMKit", path: "sample_apps/ios/Sources/TinySAMKit"),
        .target(
            name: "TinySAMCoreML", dependencies: ["TinySAMKit"], path: "sample_apps/ios/Sources/TinySAMCoreML"),
    ],
    swiftLanguageModes: [.v6]
)
