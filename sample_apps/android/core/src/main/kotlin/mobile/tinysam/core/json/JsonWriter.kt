package mobile.tinysam.core.json

/** Returns the value as one line of JSON text, keys in their order. */
fun JsonValue.toJson(): String = StringBuilder().also { it.appendJson(this) }.toString()

/**
 * A number as JSON, or null as JSON's null.
 *
 * Throws [IllegalArgumentException] for NaN and infinity, which JSON does not have.
 */
fun jsonOf(number: Double?): JsonValue {
    if (number == null) return JsonNull
    require(number.isFinite()) { "JSON has no number $number" }
    return JsonNumber(number.toString())
}

fun jsonOf(number: Long?): JsonValue = if (number == null) JsonNull else JsonNumber(number.toString())

fun jsonOf(number: Int): JsonValue = JsonNumber(number.toString())

private fun StringBuilder.appendJson(value: JsonValue) {
    when (value) {
        is JsonObject -> appendAll(value.fields.entries, '{', '}') { (key, field) ->
            appendText(key)
            append(':')
            appendJson(field)
        }

        is JsonArray -> appendAll(value.items, '[', ']') { appendJson(it) }

        is JsonText -> appendText(value.value)

        is JsonNumber -> append(value.text)

        is JsonFlag -> append(value.value)

        JsonNull -> append("null")
    }
}

private fun <T> StringBuilder.appendAll(items: Collection<T>, open: Char, close: Char, item: (T) -> Unit) {
    append(open)
    items.forEachIndexed { i, value ->
        if (i > 0) append(',')
        item(value)
    }
    append(close)
}

private fun StringBuilder.appendText(text: String) {
    append('"')
    for (character in text) {
        when {
            character == '"' || character == '\\' -> append('\\').append(character)
            character < ' ' -> append("\\u%04x".format(character.code))
            else -> append(character)
        }
    }
    append('"')
}
