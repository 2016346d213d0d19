// swift-tools-version: 6.0
import PackageDescription

let package = Package(
    name: "TinySAMKit",
    platforms: [.iOS(.v18), .macOS(.v15)],
    products: [
        .library(name: "TinySAMKit", targets: ["TinySAMKit"]),
        .library(name: "TinySAMCoreML", targets: ["TinySAMCoreML"]),
        .executable(name: "tinysam-tool", targets: ["tinysam-tool"]),
    ],
    targets: [
        .target(name: "TinySAMKit"),
        .target(name: "TinySAMCoreML", dependencies: ["TinySAMKit"]),
        .target(name: "TinySAMFixtures", dependencies: ["TinySAMKit"]),
        .executableTarget(name: "tinysam-tool", dependencies: ["TinySAMFixtures"]),
        .testTarget(name: "TinySAMKitTests", dependencies: ["TinySAMFixtures"]),
    ],
    swiftLanguageModes: [.v6]
)
