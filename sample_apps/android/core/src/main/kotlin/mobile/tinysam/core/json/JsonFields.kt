package mobile.tinysam.core.json

/**
 * An object read from JSON, whose fields are taken by type.
 *
 * `where` names the object in messages, `error` makes the exception that the caller's reader throws, so that
 * a wrong field in a manifest is a manifest's error.
 */
class JsonFields(
    private val fields: Map<String, JsonValue>,
    private val where: String,
    private val error: (String) -> Exception,
) {
    val keys: Set<String> get() = fields.keys

    fun text(key: String): String = (take(key) as? JsonText)?.value ?: wrong(key, "text")

    fun textOrNull(key: String): String? = if (isNull(key)) null else text(key)

    fun flag(key: String): Boolean = (take(key) as? JsonFlag)?.value ?: wrong(key, "true or false")

    fun number(key: String): Double = finite(take(key)) ?: wrong(key, "a finite number")

    fun integer(key: String): Int = wholeNumber(take(key)) ?: wrong(key, "an integer")

    fun integerOrNull(key: String): Int? = if (isNull(key)) null else integer(key)

    fun positiveInteger(key: String): Int = integer(key).takeIf { it > 0 } ?: wrong(key, "a positive integer")

    /** A number of bytes and the like, which may be more than 31 bits hold. */
    fun count(key: String): Long {
        val number = (take(key) as? JsonNumber)?.text?.toLongOrNull()
        return number?.takeIf { it >= 0 } ?: wrong(key, "an integer of 0 or more")
    }

    fun numbers(key: String): DoubleArray =
        array(key).map { finite(it) ?: wrong(key, "a list of finite numbers") }.toDoubleArray()

    fun integers(key: String): IntArray = array(key).map { integer(it, key) }.toIntArray()

    fun integerLists(key: String): List<IntArray> = array(key).map { item ->
        val list = item as? JsonArray ?: wrong(key, "a list of lists")
        list.items.map { integer(it, key) }.toIntArray()
    }

    fun texts(key: String): List<String> =
        array(key).map { (it as? JsonText)?.value ?: wrong(key, "a list of texts") }

    fun fields(key: String): JsonFields {
        val value = take(key) as? JsonObject ?: wrong(key, "an object")
        return JsonFields(value.fields, "$where: '$key'", error)
    }

    fun objects(key: String): List<JsonFields> = array(key).mapIndexed { i, item ->
        val value = item as? JsonObject ?: wrong(key, "a list of objects")
        JsonFields(value.fields, "$where: $key[$i]", error)
    }

    /** Whether the field is missing or null. */
    fun isNull(key: String): Boolean = fields[key].let { it == null || it == JsonNull }

    /** Throws that `key` is wrong; for checks beyond the type. */
    fun wrong(key: String, expected: String): Nothing = throw error("$where: '$key' must be $expected")

    private fun integer(value: JsonValue, key: String): Int =
        wholeNumber(value) ?: wrong(key, "a list of integers")

    private fun array(key: String): List<JsonValue> = (take(key) as? JsonArray)?.items ?: wrong(key, "a list")

    private fun take(key: String): JsonValue = fields[key] ?: throw error("$where lacks '$key'")

    private fun finite(value: JsonValue): Double? =
        (value as? JsonNumber)?.text?.toDouble()?.takeIf { it.isFinite() }

    private fun wholeNumber(value: JsonValue): Int? = (value as? JsonNumber)?.text?.toIntOrNull()
}

/** Reads a text that must hold one object; `error` makes the exception for anything else. */
fun parseJsonObject(text: String, where: String, error: (String) -> Exception): JsonFields {
    val value =
        try {
            parseJson(text)
        } catch (problem: JsonSyntaxException) {
            throw error("$where is not valid JSON: ${problem.message}")
        }
    if (value !is JsonObject) throw error("$where must hold one object")
    return JsonFields(value.fields, where, error)
}
