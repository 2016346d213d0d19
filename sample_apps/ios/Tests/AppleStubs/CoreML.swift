// The part of Core ML that TinySAMCoreML calls, as Apple declares it for Swift, so that a compiler on Linux
// checks the types and the concurrency of the engine. Nothing here runs.
@_exported import Apple

public enum MLComputeUnits: Int, Sendable { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }
public enum MLMultiArrayDataType: Int, Sendable { case double, float32, float16, int32 }

public class MLModelConfiguration {
    public init() {}
    public var computeUnits = MLComputeUnits.all
    public var functionName: String?
}

public class MLMultiArray {
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {}
    public init(
        dataPointer: UnsafeMutableRawPointer, shape: [NSNumber], dataType: MLMultiArrayDataType,
        strides: [NSNumber], deallocator: ((UnsafeMutableRawPointer) -> Void)? = nil
    ) throws {}
    public var shape: [NSNumber] { [] }
    public var strides: [NSNumber] { [] }
    public var dataType: MLMultiArrayDataType { .float32 }
    public func withUnsafeBufferPointer<S, R>(
        ofType: S.Type, _ body: (UnsafeBufferPointer<S>) throws -> R
    ) rethrows -> R { try body(UnsafeBufferPointer(start: nil, count: 0)) }
    public func withUnsafeMutableBufferPointer<S, R>(
        ofType: S.Type, _ body: (UnsafeMutableBufferPointer<S>, [Int]) throws -> R
    ) rethrows -> R { try body(UnsafeMutableBufferPointer(start: nil, count: 0), []) }
}

public class MLFeatureValue {
    public var multiArrayValue: MLMultiArray? { nil }
}

public protocol MLFeatureProvider {
    func featureValue(for featureName: String) -> MLFeatureValue?
}

public class MLDictionaryFeatureProvider: MLFeatureProvider {
    public init(dictionary: [String: Any]) throws {}
    public func featureValue(for featureName: String) -> MLFeatureValue? { nil }
}

public class MLMultiArrayConstraint {
    public var shape: [NSNumber] { [] }
}

public class MLFeatureDescription {
    public var multiArrayConstraint: MLMultiArrayConstraint? { nil }
}

public class MLModelDescription {
    public var inputDescriptionsByName: [String: MLFeatureDescription] { [:] }
    public var outputDescriptionsByName: [String: MLFeatureDescription] { [:] }
}

public class MLModel {
    init() {}
    public class func load(
        contentsOf url: URL, configuration: MLModelConfiguration
    ) async throws -> MLModel { MLModel() }
    public var modelDescription: MLModelDescription { MLModelDescription() }
    public class func compileModel(at modelURL: URL) async throws -> URL { modelURL }
    public func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { input }
    public func prediction(from input: any MLFeatureProvider) async throws -> any MLFeatureProvider { input }
}
