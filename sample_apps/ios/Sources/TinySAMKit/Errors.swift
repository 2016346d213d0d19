import Foundation

/// What can go wrong in this library. Each message says what is wrong, where, and what to do next.
public enum TinySAMError: Error, Equatable, Sendable {
    /// `manifest.json` is not one that this library implements; `field` is the key at fault.
    case manifest(field: String, reason: String)
    /// Pixels that are no photo: empty, or of another length than their size says.
    case image(reason: String)
    /// A prompt that is malformed, outside the photo, or too large for the model's slots.
    case prompt(reason: String)
    /// An engine could not load its model or gave an answer of another shape.
    case engine(reason: String)
    /// Run lengths that do not describe a mask of their size.
    case runLengths(reason: String)
    /// A fixtures folder that cannot be replayed.
    case fixtures(reason: String)
    /// A file that cannot be read or written.
    case file(path: String, reason: String)
}

extension TinySAMError: LocalizedError {
    public var errorDescription: String? {
        switch self {
        case let .manifest(field, reason): "manifest.json: \(field): \(reason)"
        case let .image(reason): "image: \(reason)"
        case let .prompt(reason): "prompt: \(reason)"
        case let .engine(reason): "engine: \(reason)"
        case let .runLengths(reason): "run lengths: \(reason)"
        case let .fixtures(reason): "fixtures: \(reason)"
        case let .file(path, reason): "\(path): \(reason)"
        }
    }
}
