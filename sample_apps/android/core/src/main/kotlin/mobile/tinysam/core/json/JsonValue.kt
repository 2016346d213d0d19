package mobile.tinysam.core.json

/** A value of a JSON text.  A number keeps its text, so that nothing is rounded before its type is known. */
sealed interface JsonValue

data class JsonObject(val fields: Map<String, JsonValue>) : JsonValue

data class JsonArray(val items: List<JsonValue>) : JsonValue

data class JsonText(val value: String) : JsonValue

data class JsonNumber(val text: String) : JsonValue

data class JsonFlag(val value: Boolean) : JsonValue

data object JsonNull : JsonValue
