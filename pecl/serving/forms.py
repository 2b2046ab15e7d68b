"""`Form`: the fields of a multipart form, read by `python-multipart` as its bytes come."""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pecl.serving.refusals import bad

PARTS = 16  # most parts of a form: immich sends two
HEADERS = 8  # most headers of a part
HEADER_BYTES = 1024  # most bytes of a header


class Form:
    """The fields of a multipart form without a file, as far as its bytes have come.

    Args:
        content_type: header of the form.
        most: most bytes of a field; the rest of a longer one is dropped.

    Attributes:
        fields: content of each field that is whole, by name; of several with one name the first.
        names: names of the parts that have begun.
        is_form: whether the bytes are a multipart form so far.
    """

    def __init__(self, content_type: str, most: int) -> None:
        kind, options = parse_options_header(content_type)
        self.fields: dict[str, bytes] = {}
        self.names: list[str] = []
        self._most = most
        self._header, self._value, self._content = bytearray(), bytearray(), bytearray()
        self._is_file = False
        self._parts = 0
        self.is_form = kind == b"multipart/form-data" and 0 < len(options.get(b"boundary", b"")) <= 200
        if self.is_form:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_part_data": self._add,
                    "on_part_end": self._end,
                },
                max_header_count=HEADERS,
                max_header_size=HEADER_BYTES,
            )

    def write(self, part: bytes) -> None:
        """Read the next bytes.

        Raises:
            Refusal: the form has too many parts.
        """
        if self.is_form:
            try:
                self._parser.write(part)
            except FormParserError:
                self.is_form = False

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            raise bad(f"form: expected at most {PARTS} parts, got more")
        self._content, self._is_file, self._name = bytearray(), False, ""

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            options = parse_options_header(self._value.decode("latin-1"))[1]
            self._is_file = b"filename" in options
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            self.names.append(self._name)
        self._header, self._value = bytearray(), bytearray()

    def _add(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._content += data[start : min(end, start + self._most + 1 - len(self._content))]

    def _end(self) -> None:
        if not self._is_file:
            self.fields.setdefault(self._name, bytes(self._content))
