package mobile.tinysam.tool

import mobile.tinysam.core.EverythingGenerator
import mobile.tinysam.core.LabelMap
import mobile.tinysam.core.Manifest
import mobile.tinysam.core.Predictor
import mobile.tinysam.core.RGB_CHANNELS
import mobile.tinysam.core.RecordingException
import mobile.tinysam.core.RgbImage
import mobile.tinysam.core.SegmentedObject
import mobile.tinysam.core.json.JsonFields
import mobile.tinysam.core.json.parseJsonObject
import mobile.tinysam.core.overlay
import mobile.tinysam.core.parseManifest
import mobile.tinysam.core.replay.EverythingCase
import mobile.tinysam.core.replay.FileTree
import mobile.tinysam.core.replay.FromBoxesCase
import mobile.tinysam.core.replay.filesIn
import mobile.tinysam.core.replay.readByteTensor
import mobile.tinysam.core.replay.readText
import java.awt.image.BufferedImage
import java.io.File
import javax.imageio.ImageIO

/** Replays the recorded everything mode of `folder`, or its boxes, and draws the objects over the photo. */
fun renderOverlay(folder: File, target: File) {
    val files = filesIn(folder)
    val manifest = parseManifest(files.readText("manifest.json"))
    val hasBoxes = File(folder, BOXES).exists()
    val fields = onlyCase(files, if (hasBoxes) BOXES else EVERYTHING)
    val photo = readPhoto(files, fields.fields("pixels"))
    val objects =
        if (hasBoxes) FromBoxesCase.read(files, fields, manifest).found() else everything(files, fields, manifest)
    write(overlay(photo, LabelMap.of(objects, photo.height, photo.width)), target)
    println("$target: ${objects.size} objects")
}

private const val BOXES = "from_boxes.json"
private const val EVERYTHING = "everything.json"

private fun onlyCase(files: FileTree, name: String): JsonFields =
    parseJsonObject(files.readText(name), name, ::RecordingException).objects("cases").singleOrNull()
        ?: throw RecordingException("$name must hold one case")

private fun everything(files: FileTree, fields: JsonFields, manifest: Manifest): List<SegmentedObject> {
    val case = EverythingCase.read(files, fields, manifest)
    return EverythingGenerator(Predictor(case.engine, manifest), case.settings).generate(case.photo).objects
}

private fun readPhoto(files: FileTree, tensor: JsonFields): RgbImage {
    val shape = tensor.integers("shape")
    if (shape.size != RGB_CHANNELS) tensor.wrong("shape", "height, width and $RGB_CHANNELS")
    return RgbImage(shape[0], shape[1], readByteTensor(files, tensor))
}

/** A binary PPM, or by its name a PNG. */
private fun write(photo: RgbImage, target: File) {
    if (target.extension != "png") {
        target.writeBytes("P6\n${photo.width} ${photo.height}\n255\n".encodeToByteArray() + photo.samples)
        return
    }
    val picture = BufferedImage(photo.width, photo.height, BufferedImage.TYPE_INT_RGB)
    val samples = IntArray(photo.samples.size) { photo.samples[it].toUByte().toInt() }
    picture.raster.setPixels(0, 0, photo.width, photo.height, samples)
    ImageIO.write(picture, "png", target)
}
