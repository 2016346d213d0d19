import Foundation

/// Writes a plain zip: files stored as they are, no zip64, no folders, no comment. One file is in memory at a
/// time, and the archive has its name only once it is whole.
///
/// Source: PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
final class ZipWriter {
    private struct Entry {
        let name: Data
        let crc: UInt32
        let size: UInt32
        let offset: UInt32
    }

    private let target: URL
    private let partial: URL
    private let file: FileHandle
    private var entries: [Entry] = []
    private var offset = 0

    /// Throws `TinySAMError.file` if nothing can be written there.
    init(_ target: URL) throws {
        self.target = target
        partial = target.deletingLastPathComponent()
            .appendingPathComponent(".\(target.lastPathComponent).partial")
        guard FileManager.default.createFile(atPath: partial.path, contents: nil),
            let file = FileHandle(forWritingAtPath: partial.path)
        else {
            throw TinySAMError.file(path: target.path, reason: "cannot be written; is there such a folder?")
        }
        self.file = file
    }

    deinit {
        // Still there only if the archive was given up.
        try? file.close()
        try? FileManager.default.removeItem(at: partial)
    }

    /// Throws `TinySAMError.file` for more than a zip without zip64 can hold.
    func add(_ name: String, _ content: Data) throws {
        guard let size = UInt32(exactly: content.count), let start = UInt32(exactly: offset),
            entries.count < Int(UInt16.max)
        else {
            throw TinySAMError.file(
                path: target.path, reason: "is larger than a plain zip; replay fewer photos")
        }
        let entry = Entry(name: Data(name.utf8), crc: CRC32.of(content), size: size, offset: start)
        var header = LittleEndianData()
        header.append(Signature.localFile)
        header.append(Self.versionNeeded)
        append(entry, to: &header)
        header.data += entry.name
        try write(header.data)
        try write(content)
        entries.append(entry)
    }

    /// Writes the directory and gives the archive its name.
    func finish() throws {
        let start = offset
        for entry in entries { try write(directoryEntry(entry)) }
        guard let directory = UInt32(exactly: start), let length = UInt32(exactly: offset - start) else {
            throw TinySAMError.file(
                path: target.path, reason: "is larger than a plain zip; replay fewer photos")
        }
        var end = LittleEndianData()
        end.append(Signature.directoryEnd)
        end.append(UInt32(0))  // numbers of disks
        end.append(UInt16(entries.count))
        end.append(UInt16(entries.count))
        end.append(length)
        end.append(directory)
        end.append(UInt16(0))  // length of a comment
        try write(end.data)
        try file.close()
        if FileManager.default.fileExists(atPath: target.path) {
            try FileManager.default.removeItem(at: target)
        }
        try FileManager.default.moveItem(at: partial, to: target)
    }

    private func directoryEntry(_ entry: Entry) -> Data {
        var record = LittleEndianData()
        record.append(Signature.directoryEntry)
        record.append(Self.versionNeeded)  // made by
        record.append(Self.versionNeeded)
        append(entry, to: &record)
        record.append(UInt16(0))  // length of a comment
        record.append(UInt16(0))  // disk
        record.append(UInt16(0))  // internal attributes
        record.append(UInt32(0))  // external attributes
        record.append(entry.offset)
        return record.data + entry.name
    }

    /// The fields that the local header and the directory share.
    private func append(_ entry: Entry, to record: inout LittleEndianData) {
        record.append(UInt16(0))  // flags
        record.append(UInt16(0))  // method: stored
        record.append(UInt16(0))  // time
        record.append(Self.firstDay)
        record.append(entry.crc)
        record.append(entry.size)  // compressed
        record.append(entry.size)
        record.append(UInt16(entry.name.count))
        record.append(UInt16(0))  // length of extra fields
    }

    private func write(_ data: Data) throws {
        try file.write(contentsOf: data)
        offset += data.count
    }

    private enum Signature {
        static let localFile: UInt32 = 0x0403_4b50
        static let directoryEntry: UInt32 = 0x0201_4b50
        static let directoryEnd: UInt32 = 0x0605_4b50
    }

    private static let versionNeeded: UInt16 = 10
    /// 1 January 1980, the first that zip knows: equal dumps are equal files.
    private static let firstDay: UInt16 = 0x21
}

private struct LittleEndianData {
    var data = Data()

    mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { data += $0 }
    }
}

/// CRC-32 as zip has it (ISO 3309).
enum CRC32 {
    private static let polynomial: UInt32 = 0xedb8_8320
    private static let table: [UInt32] = (0...UInt32(UInt8.max)).map { byte in
        (0..<UInt8.bitWidth).reduce(byte) { value, _ in
            value & 1 == 1 ? value >> 1 ^ polynomial : value >> 1
        }
    }

    static func of(_ data: Data) -> UInt32 {
        table.withUnsafeBufferPointer { table in
            data.withUnsafeBytes { bytes in
                ~bytes.reduce(UInt32.max) { crc, byte in
                    crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)]
                }
            }
        }
    }
}
