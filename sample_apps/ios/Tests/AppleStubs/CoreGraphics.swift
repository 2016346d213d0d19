// All of Core Graphics that the app's view model names. Nothing here runs.
public final class CGImage: Sendable {
    public init() {}
}
