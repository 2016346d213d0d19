import Foundation
import TinySAMKit

/// Times the core on a photo of 12 megapixels and on masks of it: medians of the time that passed and of the
/// processor's time, which is what passes on a machine that does nothing else.
struct Bench {
    private static let photoSize = PixelSize(height: 3024, width: 4032)
    private static let runs = 9

    let manifest: Manifest

    func run() async throws -> String {
        let photo = try Self.photo(Self.photoSize)
        let preprocess = Preprocessor(manifest: manifest)
        let geometry = preprocess(photo).geometry
        let logits = discs(geometry)
        let upscaler = MaskUpscaler(geometry: geometry, maskSize: manifest.sizes.maskSize)
        let threshold = manifest.postprocess.maskThreshold
        let preprocessing = Self.time { _ = preprocess(photo) }
        let postprocessing = Self.time { _ = upscaler.mask(logits, at: 0, above: threshold) }
        let (candidates, exactMs) = try await everything(.exact, logits, geometry)
        let (_, fastMs) = try await everything(.fast, logits, geometry)
        let size = "\(Self.photoSize.width) x \(Self.photoSize.height)"
        return """
            preprocess \(size) to \(manifest.sizes.imageSize): \(preprocessing)
            postprocess one mask of \(manifest.sizes.maskSize) to \(size): \(postprocessing)
            everything mode, exact, \(candidates) candidates of \(size): \(Self.text(exactMs)) ms of the processor each
            everything mode, fast, \(candidates) candidates of \(size): \(Self.text(fastMs)) ms of the processor each
            """
    }

    /// Smooth colours with noise, which no step can take a short cut on.
    static func photo(_ size: PixelSize) throws -> RGBImage {
        var state: UInt32 = 1
        let samples = size.area * RGBImage.channels
        let pixels = [UInt8](unsafeUninitializedCapacity: samples) { pixels, count in
            for index in 0..<samples {
                state = state &* 1_664_525 &+ 1_013_904_223
                pixels[index] = UInt8(truncatingIfNeeded: (index / 977) ^ Int(state >> 28))
            }
            count = samples
        }
        return try RGBImage(size: size, pixels: pixels)
    }

    /// An engine that answers the discs of a photo of `size` to everything.
    func engine(for size: PixelSize) -> some SegmentationEngine {
        let geometry = Geometry(
            originalSize: size, imageSize: manifest.sizes.imageSize, rules: manifest.rules)
        return SameAnswer(manifest: manifest, logits: discs(geometry))
    }

    /// Logits f32 (masks, m, m) of discs in the middle of the photo that cover a half, a sixth and a
    /// thirtieth of it.
    private func discs(_ geometry: Geometry) -> FloatTensor {
        let side = manifest.sizes.maskSize
        let cells = Double(side) / Double(geometry.imageSize)
        let (height, width) = (
            Double(geometry.validSize.height) * cells, Double(geometry.validSize.width) * cells
        )
        return FloatTensor(shape: [manifest.masksPerPrompt, side, side]) { values in
            for mask in 0..<manifest.masksPerPrompt {
                let share = [2.0, 6.0, 30.0][mask % 3]
                let radius = (height * width / share / Double.pi).squareRoot()
                for place in 0..<side * side {
                    let (x, y) = (Double(place % side) - width / 2, Double(place / side) - height / 2)
                    // Steep enough to be stable, as the outlines of objects are.
                    values[mask * side * side + place] = Float(8 * (radius - (x * x + y * y).squareRoot()))
                }
            }
        }
    }

    /// Processor milliseconds per candidate of everything mode on an engine that answers the discs to each point at once.
    private func everything(
        _ mode: EverythingMode, _ logits: FloatTensor, _ geometry: Geometry
    ) async throws -> (Int, Double) {
        let engine = SameAnswer(manifest: manifest, logits: logits)
        let predictor = Predictor(manifest: manifest, engine: engine)
        let image = EncodedImage(
            features: ImageFeatures(values: [:]), geometry: geometry
        )
        var options = EverythingOptions()
        options.mode = mode
        options.isHierarchical = false
        options.maxDecoderCalls = 2
        let generator = EverythingGenerator(predictor: predictor, options: options)
        let start = Self.processorMilliseconds()
        let points = try await generator.generate(on: image).points.count
        let candidates = points * manifest.masksPerPrompt
        return (candidates, (Self.processorMilliseconds() - start) / Double(candidates))
    }

    private static func time(_ body: () -> Void) -> String {
        body()
        let times = (0..<runs).map { _ in
            let (start, processorStart) = (ContinuousClock.now, processorMilliseconds())
            body()
            return (
                (ContinuousClock.now - start).milliseconds, processorMilliseconds() - processorStart
            )
        }
        let passed = times.map(\.0).sorted()[runs / 2]
        let processor = times.map(\.1).sorted()[runs / 2]
        return "\(text(passed)) ms (processor \(text(processor)) ms)"
    }

    /// What all threads of this process have used.
    private static func processorMilliseconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }

    private static func text(_ milliseconds: Double) -> String { String(format: "%.1f", milliseconds) }
}

/// Answers the same masks to every prompt, with scores that all pass.
private struct SameAnswer: SegmentationEngine {
    let manifest: Manifest
    let logits: FloatTensor

    func encode(image: FloatTensor, validSize: PixelSize) async throws -> ImageFeatures {
        .zeros(manifest.encoderOutputs)
    }

    func decode(
        features: ImageFeatures, prompt: PackedPrompts, maskInput: FloatTensor?
    ) async throws -> DecoderAnswer {
        try await decodeBatch(features: features, prompts: prompt)
    }

    func decodeBatch(features: ImageFeatures, prompts: PackedPrompts) async throws -> DecoderAnswer {
        let values = logits.values
        let masks = FloatTensor(shape: [prompts.count] + logits.shape) { target in
            for row in 0..<prompts.count {
                _ = UnsafeMutableBufferPointer(rebasing: target[(row * values.count)...])
                    .update(fromContentsOf: values)
            }
        }
        let scores = FloatTensor(shape: [prompts.count, manifest.masksPerPrompt]) {
            $0.update(repeating: 1)
        }
        return DecoderAnswer(lowResMasks: masks, iouPredictions: scores)
    }
}
