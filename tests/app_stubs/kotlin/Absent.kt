package mobile.tinysam.stubs

/** The body of a declaration that stands for an SDK's: code is compiled against it, and nothing on Linux calls it. */
fun absent(): Nothing = throw UnsupportedOperationException("only the SDK itself has this, not its stub")
