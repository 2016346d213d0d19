@file:Suppress("unused")

package androidx.activity

import android.content.Context
import android.os.Bundle
import androidx.activity.result.ActivityResultLauncher
import androidx.activity.result.contract.ActivityResultContract
import androidx.lifecycle.LifecycleOwner
import androidx.lifecycle.ViewModel
import androidx.lifecycle.ViewModelProvider
import androidx.lifecycle.viewmodel.CreationExtras
import mobile.tinysam.stubs.absent

open class ComponentActivity :
    Context(),
    LifecycleOwner {
    protected open fun onCreate(savedInstanceState: Bundle?): Unit = absent()

    fun <I, O> registerForActivityResult(
        contract: ActivityResultContract<I, O>,
        callback: (O) -> Unit,
    ): ActivityResultLauncher<I> = absent()
}

fun ComponentActivity.enableEdgeToEdge(): Unit = absent()

inline fun <reified VM : ViewModel> ComponentActivity.viewModels(
    noinline extrasProducer: (() -> CreationExtras)? = null,
    noinline factoryProducer: (() -> ViewModelProvider.Factory)? = null,
): Lazy<VM> = absent()
