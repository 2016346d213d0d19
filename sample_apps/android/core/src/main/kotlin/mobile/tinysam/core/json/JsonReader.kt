package mobile.tinysam.core.json

/** A text is not JSON; `position` counts characters from 0. */
class JsonSyntaxException(val position: Int, problem: String) : Exception("$problem at character $position")

/**
 * Reads one JSON value (RFC 8259), strictly: no comments, no NaN, no key twice, nothing after the value.
 *
 * Depth is limited, because the text may come from a stranger and the reader calls itself.
 * Throws [JsonSyntaxException].
 */
fun parseJson(text: String): JsonValue = JsonReader(text).read()

private const val MAX_DEPTH = 64
private const val HEXADECIMAL = 16
private const val ESCAPE_DIGITS = 4
private const val FIRST_PRINTABLE = ' '
private val NUMBER = Regex("-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")
private val ESCAPES =
    mapOf(
        '"' to '"',
        '\\' to '\\',
        '/' to '/',
        'b' to '\b',
        'f' to '\u000C',
        'n' to '\n',
        'r' to '\r',
        't' to '\t',
    )

private class JsonReader(private val text: String) {
    private var position = 0

    fun read(): JsonValue {
        val value = value(0)
        skipSpace()
        if (position < text.length) fail("something follows the value")
        return value
    }

    private fun value(depth: Int): JsonValue {
        if (depth > MAX_DEPTH) fail("more than $MAX_DEPTH levels")
        skipSpace()
        return when (peek()) {
            '{' -> objectAt(depth)
            '[' -> arrayAt(depth)
            '"' -> JsonText(string())
            't' -> word("true", JsonFlag(true))
            'f' -> word("false", JsonFlag(false))
            'n' -> word("null", JsonNull)
            else -> number()
        }
    }

    private fun objectAt(depth: Int): JsonObject {
        val fields = LinkedHashMap<String, JsonValue>()
        sequence('{', '}') {
            skipSpace()
            val key = string()
            expect(':')
            if (fields.put(key, value(depth + 1)) != null) fail("the key \"$key\" occurs twice in one object")
        }
        return JsonObject(fields)
    }

    private fun arrayAt(depth: Int): JsonArray {
        val items = ArrayList<JsonValue>()
        sequence('[', ']') { items += value(depth + 1) }
        return JsonArray(items)
    }

    private inline fun sequence(open: Char, close: Char, item: () -> Unit) {
        expect(open)
        skipSpace()
        if (peek() == close) {
            position++
            return
        }
        while (true) {
            item()
            skipSpace()
            if (peek() == close) break
            expect(',')
        }
        position++
    }

    private fun string(): String {
        expect('"')
        val result = StringBuilder()
        while (true) {
            val character = peek() ?: fail("the text ends inside a string")
            position++
            when {
                character == '"' -> return result.toString()
                character == '\\' -> result.append(escaped())
                character < FIRST_PRINTABLE -> fail("a control character in a string")
                else -> result.append(character)
            }
        }
    }

    private fun escaped(): Char {
        val character = peek() ?: fail("the text ends inside a string")
        position++
        if (character != 'u') return ESCAPES[character] ?: fail("an unknown escape")
        val digits = text.substring(position, minOf(position + ESCAPE_DIGITS, text.length))
        if (digits.length < ESCAPE_DIGITS || digits.any { it.digitToIntOrNull(HEXADECIMAL) == null }) {
            fail("an escape without four hexadecimal digits")
        }
        position += ESCAPE_DIGITS
        return digits.toInt(HEXADECIMAL).toChar()
    }

    private fun number(): JsonNumber {
        val match = NUMBER.matchAt(text, position) ?: fail("a value is missing or unknown")
        position = match.range.last + 1
        return JsonNumber(match.value)
    }

    private fun word(name: String, value: JsonValue): JsonValue {
        if (!text.startsWith(name, position)) fail("an unknown word")
        position += name.length
        return value
    }

    private fun expect(character: Char) {
        skipSpace()
        if (peek() != character) fail("'$character' is missing")
        position++
    }

    private fun skipSpace() {
        while (position < text.length && text[position] in " \t\r\n") position++
    }

    private fun peek(): Char? = text.getOrNull(position)

    private fun fail(problem: String): Nothing = throw JsonSyntaxException(position, problem)
}
