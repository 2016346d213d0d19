package mobile.tinysam.core

import mobile.tinysam.core.json.JsonArray
import mobile.tinysam.core.json.JsonFlag
import mobile.tinysam.core.json.JsonNull
import mobile.tinysam.core.json.JsonNumber
import mobile.tinysam.core.json.JsonObject
import mobile.tinysam.core.json.JsonSyntaxException
import mobile.tinysam.core.json.JsonText
import mobile.tinysam.core.json.jsonOf
import mobile.tinysam.core.json.parseJson
import mobile.tinysam.core.json.toJson
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class JsonTest {
    private fun assertRefused(vararg texts: String) {
        for (text in texts) assertThrows(text, JsonSyntaxException::class.java) { parseJson(text) }
    }

    @Test
    fun `every kind of value`() {
        val value = parseJson(""" {"a": [1, -2.5e3, true, false, null], "b": {}, "c": "x", "d": []} """)
        val list = listOf(JsonNumber("1"), JsonNumber("-2.5e3"), JsonFlag(true), JsonFlag(false), JsonNull)
        val expected =
            mapOf(
                "a" to JsonArray(list),
                "b" to JsonObject(emptyMap()),
                "c" to JsonText("x"),
                "d" to JsonArray(emptyList()),
            )
        assertEquals(JsonObject(expected), value)
    }

    @Test
    fun `escapes in text`() {
        assertEquals(JsonText("\"\\/\b\u000C\n\r\tä"), parseJson(""" "\"\\\/\b\f\n\r\t\u00e4" """))
        assertRefused("\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\", "\"a\nb\"", "\"open")
    }

    @Test
    fun `numbers that are none`() = assertRefused("01", "+1", ".5", "1.", "1e", "-", "NaN", "Infinity", "0x10")

    @Test
    fun `broken structure`() =
        assertRefused("", " ", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "[", "{", "tru")

    @Test
    fun `something after the value`() = assertRefused("1 2", "{} {}", "[]]")

    @Test
    fun `a key twice`() = assertRefused("""{"a": 1, "a": 2}""")

    @Test
    fun `depth is limited`() = assertRefused("[".repeat(100_000) + "]".repeat(100_000))

    @Test
    fun `what is written reads back`() {
        val text = "\"quoted\" \\ \n \u0001 ä"
        val value =
            JsonObject(mapOf("text" to JsonText(text), "list" to JsonArray(listOf(jsonOf(0.1), jsonOf(7)))))
        assertEquals(value, parseJson(value.toJson()))
    }

    @Test
    fun `no number that JSON does not have`() {
        assertThrows(IllegalArgumentException::class.java) { jsonOf(Double.NaN) }
        assertThrows(IllegalArgumentException::class.java) { jsonOf(Double.POSITIVE_INFINITY) }
    }
}
