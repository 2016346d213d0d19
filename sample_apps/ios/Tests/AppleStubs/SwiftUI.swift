// The part of SwiftUI that the app calls, as Apple declares it, so that a compiler on Linux checks names, types and
// concurrency of the app's views. Nothing here shows anything.
@_exported import Foundation
@_exported import Observation
@_exported import UIKit

// MARK: views and builders

@MainActor @preconcurrency public protocol View {
    associatedtype Body: View
    @ViewBuilder @MainActor @preconcurrency var body: Body { get }
}

extension Never: View {
    public typealias Body = Never
    public var body: Never { fatalError() }
}

/// What every modifier gives here.
public struct Modified: View {
    nonisolated init() {}
    public var body: Never { fatalError() }
}

public struct EmptyView: View {
    nonisolated public init() {}
    public var body: Never { fatalError() }
}

public struct TupleView<T>: View {
    nonisolated init() {}
    public var body: Never { fatalError() }
}

extension Optional: View where Wrapped: View {
    public var body: Never { fatalError() }
}

@resultBuilder public enum ViewBuilder {
    public static func buildExpression<Content: View>(_ content: Content) -> Content { content }
    public static func buildBlock() -> EmptyView { EmptyView() }
    public static func buildBlock<Content: View>(_ content: Content) -> Content { content }
    public static func buildBlock<each Content: View>(
        _ content: repeat each Content
    ) -> TupleView<(repeat each Content)> { TupleView() }
    public static func buildIf<Content: View>(_ content: Content?) -> Content? { content }
    public static func buildEither<First: View, Second: View>(first: First) -> Either<First, Second> {
        Either()
    }
    public static func buildEither<First: View, Second: View>(second: Second) -> Either<First, Second> {
        Either()
    }
}

public struct Either<First: View, Second: View>: View {
    nonisolated init() {}
    public var body: Never { fatalError() }
}

// MARK: app and scenes

@MainActor public protocol Scene {
    associatedtype Body: Scene
    @MainActor var body: Body { get }
}

extension Never: Scene {}

public struct WindowGroup<Content: View>: Scene {
    public init(@ViewBuilder content: () -> Content) {}
    public var body: Never { fatalError() }
}

@MainActor public protocol App {
    associatedtype Body: Scene
    @MainActor var body: Body { get }
    @MainActor init()
}

extension App {
    @MainActor public static func main() {}
}

// MARK: state

@propertyWrapper public struct State<Value> {
    private final class Box {
        var value: Value
        init(_ value: Value) { self.value = value }
    }
    private let box: Box
    public init(wrappedValue: Value) { box = Box(wrappedValue) }
    public var wrappedValue: Value {
        get { box.value }
        nonmutating set { box.value = newValue }
    }
    public var projectedValue: Binding<Value> {
        Binding {
            box.value
        } set: {
            box.value = $0
        }
    }
}

extension State where Value: ExpressibleByNilLiteral {
    public init() { self.init(wrappedValue: nil) }
}

@propertyWrapper @dynamicMemberLookup public struct Binding<Value> {
    private let get: () -> Value
    private let set: (Value) -> Void
    public init(get: @escaping () -> Value, set: @escaping (Value) -> Void) {
        self.get = get
        self.set = set
    }
    public var wrappedValue: Value {
        get { get() }
        nonmutating set { set(newValue) }
    }
    public var projectedValue: Binding<Value> { self }
    public subscript<Part>(dynamicMember path: WritableKeyPath<Value, Part>) -> Binding<Part> {
        Binding<Part> {
            wrappedValue[keyPath: path]
        } set: { _ in
        }
    }
}

@propertyWrapper @dynamicMemberLookup public struct Bindable<Value: AnyObject> {
    public var wrappedValue: Value
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
    public var projectedValue: Bindable<Value> { self }
    public subscript<Part>(dynamicMember path: ReferenceWritableKeyPath<Value, Part>) -> Binding<Part> {
        Binding {
            wrappedValue[keyPath: path]
        } set: {
            wrappedValue[keyPath: path] = $0
        }
    }
}

@MainActor public struct DismissAction {
    public func callAsFunction() {}
}

public struct EnvironmentValues {
    @MainActor public var dismiss: DismissAction { DismissAction() }
}

@MainActor @propertyWrapper public struct Environment<Value> {
    public init(_ path: KeyPath<EnvironmentValues, Value>) {}
    public var wrappedValue: Value { fatalError() }
}

// MARK: text, pictures, controls

public struct LocalizedStringKey: ExpressibleByStringInterpolation, Sendable {
    public init(stringLiteral value: String) {}
}

public struct Font: Sendable {
    public static let footnote = Font()
    public static let headline = Font()
    public func monospacedDigit() -> Font { self }
}

public struct Text: View {
    nonisolated public init(_ key: LocalizedStringKey) {}
    @_disfavoredOverload nonisolated public init<S: StringProtocol>(_ content: S) {}
    nonisolated public init<F: FormatStyle>(_ input: F.FormatInput, format: F)
    where F.FormatOutput == String {}
    public func font(_ font: Font?) -> Text { self }
    public var body: Never { fatalError() }
}

public struct Label<Title: View, Icon: View>: View {
    public var body: Never { fatalError() }
}

extension Label where Title == Text, Icon == Image {
    public init(_ key: LocalizedStringKey, systemImage: String) {}
}

public struct Image: View {
    public enum TemplateRenderingMode: Sendable { case template, original }
    public init(decorative image: CGImage, scale: CGFloat) {}
    public func resizable() -> Image { self }
    public func renderingMode(_ mode: TemplateRenderingMode?) -> Image { self }
    public var body: Never { fatalError() }
}

public struct ButtonRole: Equatable, Sendable {
    public static let cancel = ButtonRole()
}

public struct Button<Label: View>: View {
    public var body: Never { fatalError() }
}

extension Button where Label == Text {
    public init(_ key: LocalizedStringKey, action: @escaping @MainActor () -> Void) {}
    @_disfavoredOverload public init<S: StringProtocol>(_ title: S, action: @escaping @MainActor () -> Void) {
    }
}

extension Button where Label == SwiftUI.Label<Text, Image> {
    public init(_ key: LocalizedStringKey, systemImage: String, action: @escaping @MainActor () -> Void) {}
}

public struct Toggle<Label: View>: View {
    public var body: Never { fatalError() }
}

extension Toggle where Label == Text {
    public init(_ key: LocalizedStringKey, isOn: Binding<Bool>) {}
}

public struct Picker<Label: View, Selection: Hashable, Content: View>: View {
    public var body: Never { fatalError() }
}

extension Picker where Label == Text {
    public init(
        _ key: LocalizedStringKey, selection: Binding<Selection>, @ViewBuilder content: () -> Content
    ) {}
}

public struct Menu<Label: View, Content: View>: View {
    public var body: Never { fatalError() }
}

extension Menu where Label == SwiftUI.Label<Text, Image> {
    public init(_ key: LocalizedStringKey, systemImage: String, @ViewBuilder content: () -> Content) {}
}

public struct ProgressView<Label: View>: View {
    public var body: Never { fatalError() }
}

extension ProgressView where Label == EmptyView {
    public init<V: BinaryFloatingPoint>(value: V?, total: V = 1) {}
}

extension ProgressView {
    public init(@ViewBuilder label: () -> Label) {}
}

extension ProgressView where Label == Text {
    public init(_ key: LocalizedStringKey) {}
}

public struct ContentUnavailableView: View {
    public init(_ key: LocalizedStringKey, systemImage: String, description: Text? = nil) {}
    public var body: Never { fatalError() }
}

public struct ShareLink: View {
    public init(_ key: LocalizedStringKey, item: URL) {}
    public var body: Never { fatalError() }
}

// MARK: layout

public struct Alignment: Equatable, Sendable {
    public static let center = Alignment()
    public static let bottom = Alignment()
    public static let topLeading = Alignment()
}

public struct HorizontalAlignment: Equatable, Sendable {
    public static let center = HorizontalAlignment()
    public static let leading = HorizontalAlignment()
}

public struct VStack<Content: View>: View {
    public init(
        alignment: HorizontalAlignment = .center, spacing: CGFloat? = nil, @ViewBuilder content: () -> Content
    ) {}
    public var body: Never { fatalError() }
}

public struct HStack<Content: View>: View {
    public init(spacing: CGFloat? = nil, @ViewBuilder content: () -> Content) {}
    public var body: Never { fatalError() }
}

public struct ZStack<Content: View>: View {
    public init(alignment: Alignment = .center, @ViewBuilder content: () -> Content) {}
    public var body: Never { fatalError() }
}

public struct Spacer: View {
    public init() {}
    public var body: Never { fatalError() }
}

public struct GeometryProxy {
    public var size: CGSize { .zero }
}

public struct GeometryReader<Content: View>: View {
    public init(@ViewBuilder content: @escaping (GeometryProxy) -> Content) {}
    public var body: Never { fatalError() }
}

public struct NavigationStack<Content: View>: View {
    public init(@ViewBuilder root: () -> Content) {}
    public var body: Never { fatalError() }
}

public struct List<Content: View>: View {
    public var body: Never { fatalError() }
}

extension List {
    public init<Data: RandomAccessCollection, Row: View>(
        _ data: Data, @ViewBuilder rowContent: @escaping (Data.Element) -> Row
    ) where Data.Element: Identifiable, Content == ForEach<Data, Data.Element.ID, Row> {}
}

public struct ForEach<Data: RandomAccessCollection, ID: Hashable, Content>: View {
    public var body: Never { fatalError() }
}

extension ForEach where Content: View {
    public init(
        _ data: Data, id: KeyPath<Data.Element, ID>, @ViewBuilder content: @escaping (Data.Element) -> Content
    ) {}
}

extension ForEach where Content: View, Data.Element: Identifiable, ID == Data.Element.ID {
    public init(_ data: Data, @ViewBuilder content: @escaping (Data.Element) -> Content) {}
}

// MARK: shapes and colours

public protocol ShapeStyle: Sendable {}

public struct Color: ShapeStyle, View {
    nonisolated public init(red: Double, green: Double, blue: Double, opacity: Double = 1) {}
    public var body: Never { fatalError() }
}

extension ShapeStyle where Self == Color {
    public static var yellow: Color { Color(red: 1, green: 1, blue: 0) }
    public static var white: Color { Color(red: 1, green: 1, blue: 1) }
    public static var green: Color { Color(red: 0, green: 1, blue: 0) }
    public static var red: Color { Color(red: 1, green: 0, blue: 0) }
    public static var secondary: Color { Color(red: 0, green: 0, blue: 0) }
}

public struct Material: ShapeStyle {}

extension ShapeStyle where Self == Material {
    public static var regularMaterial: Material { Material() }
}

public protocol Shape: View, Sendable {}

extension Shape {
    public var body: Never { fatalError() }
    public func stroke<S: ShapeStyle>(_ style: S, lineWidth: CGFloat = 1) -> StrokedShape { StrokedShape() }
    public func fill<S: ShapeStyle>(_ style: S) -> StrokedShape { StrokedShape() }
}

public struct StrokedShape: View {
    public func stroke<S: ShapeStyle>(_ style: S, lineWidth: CGFloat = 1) -> StrokedShape { self }
    public var body: Never { fatalError() }
}

public struct Rectangle: Shape {
    public init() {}
}

public struct Circle: Shape {
    public init() {}
}

public struct RoundedRectangle: Shape {
    public init(cornerRadius: CGFloat) {}
}
