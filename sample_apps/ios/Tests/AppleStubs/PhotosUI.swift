// The part of PhotosUI that the app calls. Nothing here runs.
import SwiftUI

public protocol Transferable {}
extension Data: Transferable {}

public struct PHPickerFilter: Sendable {
    public static let images = PHPickerFilter()
}

public struct PhotosPickerItem: Equatable, Sendable {
    public func loadTransferable<T: Transferable>(type: T.Type) async throws -> T? { nil }
}

public struct PhotosPicker<Label: View>: View {
    public init(
        selection: Binding<PhotosPickerItem?>, matching filter: PHPickerFilter? = nil,
        @ViewBuilder label: () -> Label
    ) {}
    public var body: Never { fatalError() }
}
