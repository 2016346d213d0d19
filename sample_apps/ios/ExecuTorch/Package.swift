// swift-tools-version: 6.0
import PackageDescription

// A package of its own, so that an app with Core ML alone does not download ExecuTorch.
let package = Package(
    name: "TinySAMExecuTorch",
    platforms: [.iOS(.v18), .macOS(.v15)],
    products: [.library(name: "TinySAMExecuTorch", targets: ["TinySAMExecuTorch"])],
    dependencies: [
        .package(name: "TinySAMKit", path: ".."),
        // The version that makes the .pte files: a runtime reads those of its own release and before.
        // The head of the branch swiftpm-1.5.0, which could move; there is no swiftpm-1.5.1.
        .package(
            url: "https://github.com/pytorch/executorch.git",
            revision: "56cc93a96d5fb8d21554ec5f00fbad5a5b228bc4"
        ),
    ],
    targets: [
        .target(
            name: "TinySAMExecuTorch",
            dependencies: [
                "TinySAMKit",
                .product(name: "executorch", package: "executorch"),
                .product(name: "backend_xnnpack", package: "executorch"),
                .product(name: "backend_coreml", package: "executorch"),
                .product(name: "kernels_optimized", package: "executorch"),
                .product(name: "kernels_quantized", package: "executorch"),
            ]
        )
    ],
    swiftLanguageModes: [.v6]
)
