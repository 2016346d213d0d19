import Foundation

/// What a dump says of the device and the run, beside its tensors (`docs/device_loop.md`).
public struct DumpDescription: Sendable {
    public struct Device: Encodable, Sendable {
        public var model: String
        public var os: String
        public var appVersion: String

        public init(model: String, os: String, appVersion: String) {
            self.model = model
            self.os = os
            self.appVersion = appVersion
        }
    }

    public struct Run: Encodable, Sendable {
        /// As in manifest.json.
        public var runtime: String
        /// As in manifest.json.
        public var recipe: String
        public var computeUnit: String
        public var threads: Int?
        /// Until the models were ready.
        public var loadMs: Double?
        public var peakMemoryBytes: Int?
        public var thermalBefore: String
        public var thermalAfter: String
        /// How the app was built, "debug" or "release": debug code is many times slower around the model.
        public var configuration: String
        /// The release of the runtime in the app; Core ML's is that of iOS.
        public var runtimeVersion: String?
        /// Of the encoder and the decoder, from the manifest.
        public var artifactSha256: [String: String]

        public init(
            runtime: String, recipe: String, computeUnit: String, threads: Int? = nil, loadMs: Double? = nil,
            peakMemoryBytes: Int? = nil, thermalBefore: String, thermalAfter: String,
            configuration: String = "unknown", runtimeVersion: String? = nil,
            artifactSha256: [String: String]
        ) {
            self.runtime = runtime
            self.recipe = recipe
            self.computeUnit = computeUnit
            self.threads = threads
            self.loadMs = loadMs
            self.peakMemoryBytes = peakMemoryBytes
            self.thermalBefore = thermalBefore
            self.thermalAfter = thermalAfter
            self.configuration = configuration
            self.runtimeVersion = runtimeVersion
            self.artifactSha256 = artifactSha256
        }
    }

    public var device: Device
    public var run: Run

    public init(device: Device, run: Run) {
        self.device = device
        self.run = run
    }
}

/// Milliseconds per call of each step of a replay.
public struct StepLatencies: Encodable, Equatable, Sendable {
    public internal(set) var preprocess: [Double] = []
    public internal(set) var encode: [Double] = []
    public internal(set) var decode: [Double] = []
    public internal(set) var decodeBatch: [Double] = []
    public internal(set) var postprocess: [Double] = []
}

/// Writes `dump.zip`: tensors as they come, the index last.
final class DumpWriter {
    private struct Tensor: Encodable {
        let name: String
        let dtype: String
        let shape: [Int]
    }

    private struct Index: Encodable {
        let layoutVersion: Int
        let fixturesId: String
        let device: DumpDescription.Device
        let run: DumpDescription.Run
        let latencyMs: StepLatencies
        let tensors: [Tensor]
    }

    private let zip: ZipWriter
    private let fixturesID: String
    private var tensors: [Tensor] = []

    init(_ url: URL, fixturesID: String) throws {
        zip = try ZipWriter(url)
        self.fixturesID = fixturesID
    }

    /// `shape` is that of the dump, which leaves out axes of length 1 at the front.
    func add(_ name: String, _ tensor: FloatTensor, shape: [Int]) throws {
        try add(name, "float32", shape, RawTensor.data(tensor))
    }

    func add(_ name: String, _ values: [Int32]) throws {
        try add(name, "int32", [values.count], values.withUnsafeBufferPointer { Data(buffer: $0) })
    }

    func add(_ name: String, _ mask: Mask) throws {
        try add(name, "uint8", [mask.size.height, mask.size.width], Data(mask.pixels))
    }

    private func add(_ name: String, _ dtype: String, _ shape: [Int], _ data: Data) throws {
        try zip.add("\(name).bin", data)
        tensors.append(Tensor(name: name, dtype: dtype, shape: shape))
    }

    func finish(_ description: DumpDescription, _ latencies: StepLatencies) throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys]
        let index = Index(
            layoutVersion: FixtureSet.layoutVersion, fixturesId: fixturesID, device: description.device,
            run: description.run, latencyMs: latencies, tensors: tensors
        )
        try zip.add("dump.json", encoder.encode(index))
        try zip.finish()
    }
}
