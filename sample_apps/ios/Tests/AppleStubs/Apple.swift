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

extension String {
    /// Apple's looks the text up in the app's catalogs.
    public init(localized text: String) { self = text }
}

extension ProcessInfo {
    public enum ThermalState: Int, Sendable { case nominal, fair, serious, critical }
    public var thermalState: ThermalState { .nominal }
}

// Linux declares the constant and the function with two types.
public func getrusage(_ who: __rusage_who, _ usage: UnsafeMutablePointer<rusage>) -> Int32 { 0 }

public func sysctlbyname(
    _ name: String, _ old: UnsafeMutableRawPointer?, _ length: UnsafeMutablePointer<Int>?,
    _ new: UnsafeMutableRawPointer?, _ newLength: Int
) -> Int32 { 0 }
