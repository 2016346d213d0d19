@file:Suppress("ktlint:standard:class-naming", "ktlint:standard:property-naming")

package mobile.tinysam.app

/** What the build makes of res/values/strings.xml; tests/sample_apps/test_android_strings.py compares the two. */
object R {
    object string {
        const val app_name: Int = 0
        const val loading_model: Int = 0
        const val no_photo: Int = 0
        const val encoding_photo: Int = 0
        const val pick_photo: Int = 0
        const val take_photo: Int = 0
        const val share_dump: Int = 0
        const val replaying: Int = 0
        const val litert_cpu: Int = 0
        const val litert_gpu: Int = 0
        const val executorch: Int = 0
        const val platform_resize: Int = 0
        const val on_object: Int = 0
        const val off_object: Int = 0
        const val refine: Int = 0
        const val clear: Int = 0
        const val everything: Int = 0
        const val stop: Int = 0
        const val searching: Int = 0
        const val search_progress: Int = 0
        const val found: Int = 0
        const val found_so_far: Int = 0
        const val back_to_prompts: Int = 0
        const val tap_or_drag: Int = 0
        const val timing: Int = 0
    }
}
