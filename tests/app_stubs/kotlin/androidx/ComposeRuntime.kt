@file:Suppress("unused")

package androidx.compose.runtime

import kotlin.reflect.KProperty
import mobile.tinysam.stubs.absent

@Target(
    AnnotationTarget.FUNCTION,
    AnnotationTarget.TYPE,
    AnnotationTarget.TYPE_PARAMETER,
    AnnotationTarget.PROPERTY_GETTER,
)
annotation class Composable

interface State<out T> {
    val value: T
}

interface MutableState<T> : State<T> {
    override var value: T
}

operator fun <T> State<T>.getValue(thisObj: Any?, property: KProperty<*>): T = absent()

operator fun <T> MutableState<T>.setValue(thisObj: Any?, property: KProperty<*>, value: T): Unit = absent()

fun <T> mutableStateOf(value: T): MutableState<T> = absent()

@Composable
fun <T> remember(calculation: () -> T): T = absent()
