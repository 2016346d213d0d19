// More of SwiftUI.swift: what changes a view, its gestures, its toolbar, and views of UIKit.
import UIKit

// MARK: gestures

@MainActor @preconcurrency public protocol Gesture {
    associatedtype Value
}

extension Optional: Gesture where Wrapped: Gesture {
    public typealias Value = Wrapped.Value
}

public struct ChangedGesture<Value>: Gesture {
    public func onChanged(_ action: @escaping (Value) -> Void) -> ChangedGesture<Value> { self }
    public func onEnded(_ action: @escaping (Value) -> Void) -> ChangedGesture<Value> { self }
}

public struct DragGesture: Gesture {
    public struct Value: Sendable {
        public var startLocation: CGPoint { .zero }
        public var location: CGPoint { .zero }
    }
    public init(minimumDistance: CGFloat = 10) {}
    public func onChanged(_ action: @escaping (Value) -> Void) -> ChangedGesture<Value> { ChangedGesture() }
    public func onEnded(_ action: @escaping (Value) -> Void) -> ChangedGesture<Value> { ChangedGesture() }
}

// MARK: modifiers

public struct Edges: Sendable {
    public static let all = Edges()
}

public struct PickerStyle: Sendable {
    public static let segmented = PickerStyle()
}

public struct ButtonStyle: Sendable {
    public static let bordered = ButtonStyle()
}

extension View {
    public func frame(width: CGFloat? = nil, height: CGFloat? = nil, alignment: Alignment = .center)
        -> Modified
    { Modified() }
    public func frame(maxWidth: CGFloat? = nil, maxHeight: CGFloat? = nil) -> Modified { Modified() }
    public func padding() -> Modified { Modified() }
    public func offset(x: CGFloat = 0, y: CGFloat = 0) -> Modified { Modified() }
    public func overlay<V: View>(alignment: Alignment = .center, @ViewBuilder content: () -> V) -> Modified {
        Modified()
    }
    public func background<S: ShapeStyle, T: Shape>(_ style: S, in shape: T) -> Modified { Modified() }
    public func foregroundStyle<S: ShapeStyle>(_ style: S) -> Modified { Modified() }
    public func font(_ font: Font?) -> Modified { Modified() }
    public func contentShape<S: Shape>(_ shape: S) -> Modified { Modified() }
    public func gesture<T: Gesture>(_ gesture: T?) -> Modified { Modified() }
    public func onTapGesture(perform action: @escaping (CGPoint) -> Void) -> Modified { Modified() }
    public func tag<V: Hashable>(_ tag: V) -> Modified { Modified() }
    public func disabled(_ isDisabled: Bool) -> Modified { Modified() }
    public func pickerStyle(_ style: PickerStyle) -> Modified { Modified() }
    public func buttonStyle(_ style: ButtonStyle) -> Modified { Modified() }
    public func navigationTitle(_ key: LocalizedStringKey) -> Modified { Modified() }
    public func toolbar<T: ToolbarContent>(@ToolbarContentBuilder content: () -> T) -> Modified { Modified() }
    public func task(_ action: @escaping @MainActor @Sendable () async -> Void) -> Modified { Modified() }
    public func ignoresSafeArea() -> Modified { Modified() }
    public func accessibilityLabel(_ label: Text) -> Modified { Modified() }
    public func accessibilityElement() -> Modified { Modified() }
    public func accessibilityActions<V: View>(@ViewBuilder _ content: () -> V) -> Modified { Modified() }
    public func onChange<V: Equatable>(of value: V, _ action: @escaping (V, V) -> Void) -> Modified {
        Modified()
    }
    public func fullScreenCover<V: View>(isPresented: Binding<Bool>, @ViewBuilder content: () -> V)
        -> Modified
    { Modified() }
    public func sheet<V: View>(isPresented: Binding<Bool>, @ViewBuilder content: () -> V) -> Modified {
        Modified()
    }
    public func alert<A: View, M: View>(
        _ key: LocalizedStringKey, isPresented: Binding<Bool>, @ViewBuilder actions: () -> A,
        @ViewBuilder message: () -> M
    ) -> Modified { Modified() }
}

// MARK: toolbars

@MainActor public protocol ToolbarContent {}

public struct ToolbarItemPlacement: Sendable {
    public static let topBarLeading = ToolbarItemPlacement()
    public static let topBarTrailing = ToolbarItemPlacement()
}

public struct ToolbarItem<Content: View>: ToolbarContent {
    public init(placement: ToolbarItemPlacement, @ViewBuilder content: () -> Content) {}
}

public struct ToolbarItemGroup<Content: View>: ToolbarContent {
    public init(placement: ToolbarItemPlacement, @ViewBuilder content: () -> Content) {}
}

public struct TupleToolbarContent: ToolbarContent {}

@MainActor @resultBuilder public enum ToolbarContentBuilder {
    public static func buildBlock<Content: ToolbarContent>(_ content: Content) -> Content { content }
    public static func buildBlock<each Content: ToolbarContent>(
        _ content: repeat each Content
    ) -> TupleToolbarContent { TupleToolbarContent() }
}

// MARK: UIKit in SwiftUI

@MainActor @preconcurrency public protocol UIViewControllerRepresentable: View where Body == Never {
    associatedtype UIViewControllerType: UIViewController
    associatedtype Coordinator = Void
    typealias Context = UIViewControllerRepresentableContext<Self>
    func makeUIViewController(context: Context) -> UIViewControllerType
    func updateUIViewController(_ controller: UIViewControllerType, context: Context)
    func makeCoordinator() -> Coordinator
}

extension UIViewControllerRepresentable {
    public var body: Never { fatalError() }
}

@MainActor public struct UIViewControllerRepresentableContext<Representable: UIViewControllerRepresentable> {
    public var coordinator: Representable.Coordinator { fatalError() }
}
