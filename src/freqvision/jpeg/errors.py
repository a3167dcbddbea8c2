"""The error of the JPEG reader."""

# Sound files of kinds that the reader does not read; libjpeg may.
UNSUPPORTED_KINDS = frozenset({"arithmetic", "12-bit", "lossless", "hierarchical", "unsupported"})


class JpegError(ValueError):
    """A file that is no JPEG, is damaged, or is of a kind that the reader does not read.

    Attributes:
        kind: What is wrong: `not-jpeg`, `truncated`, `corrupt`, `missing-table`, `illegal-size`, `too-large`,
            or the kind of a file that may be sound but is not supported: `arithmetic`, `12-bit`, `lossless`,
            `hierarchical`, `unsupported`.
        offset: The byte at which it shows.

    Example:
        >>> import freqvision as fv
        >>> try:
        ...     fv.read_coefficients(b"GIF89a")
        ... except fv.JpegError as error:
        ...     print(error.kind, error.offset)
        not-jpeg 0
    """

    def __init__(self, message: str, kind: str, offset: int):
        super().__init__(message)
        self.kind = kind
        self.offset = offset

    @property
    def unsupported(self) -> bool:
        """Whether the file is merely of an unsupported kind: decoding it to pixels may work."""
        return self.kind in UNSUPPORTED_KINDS

    def __reduce__(self) -> tuple:
        # Errors travel from worker processes, and ValueError would remember the message alone.
        return type(self), (str(self), self.kind, self.offset)
