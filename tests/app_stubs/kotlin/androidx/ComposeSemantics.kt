@file:Suppress("unused")

package androidx.compose.ui.semantics

import androidx.compose.ui.Modifier

class CustomAccessibilityAction(val label: String, val action: () -> Boolean)

interface SemanticsPropertyReceiver

var SemanticsPropertyReceiver.contentDescription: String
    get() = TODO()
    set(_) = TODO()

var SemanticsPropertyReceiver.customActions: List<CustomAccessibilityAction>
    get() = TODO()
    set(_) = TODO()

fun Modifier.semantics(
    mergeDescendants: Boolean = false,
    properties: SemanticsPropertyReceiver.() -> Unit,
): Modifier = TODO()
