package mobile.tinysam.app

import android.content.Intent
import android.net.Uri
import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.activity.viewModels
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.runtime.getValue
import androidx.core.content.FileProvider
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import androidx.lifecycle.lifecycleScope
import androidx.lifecycle.viewmodel.initializer
import androidx.lifecycle.viewmodel.viewModelFactory
import kotlinx.coroutines.flow.filterNotNull
import kotlinx.coroutines.launch
import java.io.File

/** The only screen; pickers, camera and share sheet belong to it, all else to the view model. */
class MainActivity : ComponentActivity() {
    private val viewModel: SegmentationViewModel by viewModels {
        viewModelFactory {
            initializer { SegmentationViewModel(Models(applicationContext), PhotoLoader(contentResolver)) }
        }
    }

    private val pickPhoto =
        registerForActivityResult(ActivityResultContracts.PickVisualMedia()) { uri -> uri?.let(viewModel::open) }

    private val takePhoto =
        registerForActivityResult(ActivityResultContracts.TakePicture()) { wasTaken ->
            if (wasTaken) viewModel.open(cameraPhoto())
        }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContent {
            MaterialTheme {
                Surface {
                    val state by viewModel.state.collectAsStateWithLifecycle()
                    val choice by viewModel.choice.collectAsStateWithLifecycle()
                    val usesPlatformResize by viewModel.usesPlatformResize.collectAsStateWithLifecycle()
                    SegmentationScreen(state, choice, usesPlatformResize, actions())
                }
            }
        }
        lifecycleScope.launch {
            viewModel.dump.filterNotNull().collect {
                share(it)
                viewModel.dumpWasShared()
            }
        }
    }

    private fun actions() = SegmentationActions(
        pickPhoto = {
            pickPhoto.launch(PickVisualMediaRequest(ActivityResultContracts.PickVisualMedia.ImageOnly))
        },
        takePhoto = { takePhoto.launch(cameraPhoto()) },
        chooseEngine = viewModel::loadModel,
        usePlatformResize = viewModel::usePlatformResize,
        onGesture = viewModel::onGesture,
        refine = viewModel::refine,
        findEverything = viewModel::findEverything,
        cancel = viewModel::cancel,
        clear = viewModel::clear,
        recordDump = viewModel::recordDump,
    )

    private fun share(dump: File) {
        val intent =
            Intent(Intent.ACTION_SEND)
                .setType("application/zip")
                .putExtra(Intent.EXTRA_STREAM, uriOf(dump))
                .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivity(Intent.createChooser(intent, getString(R.string.share_dump)))
    }

    private fun cameraPhoto(): Uri = uriOf(File(File(cacheDir, "photos").apply { mkdirs() }, "camera.jpg"))

    private fun uriOf(file: File): Uri = FileProvider.getUriForFile(this, "$packageName.files", file)
}
