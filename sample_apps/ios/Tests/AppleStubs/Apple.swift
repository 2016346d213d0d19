// What Apple's Foundation and Dispatch have and those of Linux lack. Nothing here runs.
@_exported import Foundation

public final class DispatchSerialQueue: SerialExecutor {
    public init(label: String) {}
    public func enqueue(_ job: UnownedJob) {}
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}

extension URL {
    public static var cachesDirectory: URL { URL(fileURLWithPath: "/") }
}
